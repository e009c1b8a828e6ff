"""### Ingest sources

Reads what is new from every source system (CRM, billing, email provider, CMS, events, consents, surveys, and what our
own pages and campaigns recorded) and appends it to `raw`.

* One mapped task a source; each is idempotent by source key and keeps its own watermark.
* Rows that break the contract go to `ops.quarantined_rows` with file, line, field, value and reason.
* On embedded defaults the sources are MovieLens-100k and a **simulated** envelope around it.
"""

from datetime import timedelta

from airflow.sdk import dag, task
from pipeline_assets import RAW_SOURCES, TASK_DEFAULTS

SOURCES = ["crm", "billing", "email_provider", "cms", "events", "consents", "surveys", "activation"]


@dag(
    schedule="0 4 * * *",
    catchup=False,
    max_active_runs=1,
    default_args={**TASK_DEFAULTS, "owner": "data-engineering"},
    dagrun_timeout=timedelta(hours=1),
    tags=["ingestion", "daily"],
    doc_md=__doc__,
)
def ingest_sources():
    @task
    def prepare_extracts(dag_run=None):
        """Fetch the default data once; with imported data there is nothing to do."""
        from ingestion import sources
        from marquee.settings import load_settings

        sources.prepare_extracts(load_settings(), dag_run.run_after)

    @task(map_index_template="{{ source_name }}")
    def ingest_source(source: str, dag_run=None):
        """Append one source's new rows to raw."""
        from airflow.sdk import get_current_context

        from ingestion import sources
        from marquee.settings import load_settings

        get_current_context()["source_name"] = source
        ingested = sources.ingest_source(source, dag_run.run_id, dag_run.run_after, load_settings())
        return {
            "read": ingested.read_count,
            "new": ingested.new_count,
            "quarantined": ingested.quarantined_count,
        }

    @task(outlets=[RAW_SOURCES])
    def publish_raw(counts):
        """Say that raw is up to date, which starts the profiles."""
        print(f"{sum(count['new'] for count in counts)} new rows from {len(SOURCES)} sources")

    ingested = ingest_source.expand(source=SOURCES)
    prepare_extracts() >> ingested
    publish_raw(ingested)


ingest_sources()
