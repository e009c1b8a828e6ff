"""### Ingest sources

Reads what is new from every source system (CRM, billing, invoices, email, CMS, events, consents, surveys, and what our
own pages and campaigns recorded) and appends it to `raw`.

* One mapped task a source; each is idempotent by source key and keeps its own watermark.
* Months of events that are older than `MARQUEE_EVENT_RETENTION_MONTHS` are dropped.
* Rows that break the contract go to `ops.quarantined_rows` with file, line, field, value and reason.
* An export that lost too much is held: nothing is deleted until the next one, or `marquee ingest SOURCE --accept-loss`.
* The inventory of the systems is a page among the reports, `inventory.html`.
* On embedded defaults the sources are MovieLens-100k and a **simulated** envelope around it.
"""

from datetime import timedelta

from airflow.sdk import dag, task
from pipeline_assets import RAW_SOURCES, TASK_DEFAULTS, at

SOURCES = [
    "crm", "billing", "invoices", "email_provider", "cms", "events", "consents", "surveys", "activation",
]  # fmt: skip


@dag(
    schedule=at("0 4 * * *"),
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
        for concern in ingested.concerns:
            print(concern)
        counted = ("read", "new", "corrected", "deleted", "quarantined")
        return {name: getattr(ingested, f"{name}_count") for name in counted}

    @task
    def drop_old_events(dag_run=None):
        """Drop the months of events that are older than events are kept."""
        from ingestion import retention
        from marquee.settings import load_settings

        print(retention.drop_old_events(dag_run.run_after, load_settings()))

    @task(outlets=[RAW_SOURCES])
    def publish_raw(counts):
        """Say that raw is up to date, which starts the profiles."""
        totals = {name: sum(count[name] for count in counts) for name in ("new", "corrected", "deleted")}
        print(f"{totals} from {len(SOURCES)} sources")

    @task
    def take_inventory(dag_run=None):
        """Say which systems there are and what they hold, as rows and as a page among the reports."""
        from ingestion.inventory import report
        from marquee.settings import load_settings

        report.take_inventory(dag_run.run_after, load_settings())

    ingested = ingest_source.expand(source=SOURCES)
    prepare_extracts() >> ingested
    ingested >> drop_old_events() >> publish_raw(ingested)
    ingested >> take_inventory()


ingest_sources()
