"""### Materialize features

Applies the Feast definitions and copies the newest value of every feature to the online store, so that a request reads
what training read.
"""

from datetime import timedelta

from airflow.sdk import dag, task
from pipeline_assets import ONLINE_FEATURES, PROFILES, TASK_DEFAULTS


@dag(
    schedule=[PROFILES],
    catchup=False,
    max_active_runs=1,
    default_args={**TASK_DEFAULTS, "owner": "ml-engineering"},
    dagrun_timeout=timedelta(hours=1),
    tags=["feast", "features"],
    doc_md=__doc__,
)
def materialize_features():
    @task
    def apply_definitions():
        """Register entities, views and services."""
        from feature_repo import store
        from marquee.settings import load_settings

        store.apply_definitions(load_settings())

    @task(outlets=[ONLINE_FEATURES])
    def materialize_views(dag_run=None):
        """Copy the newest values online; returns the row count of each view."""
        from feature_repo import materialization
        from marquee.settings import load_settings

        return materialization.materialize(dag_run.run_id, dag_run.run_after, load_settings())

    apply_definitions() >> materialize_views()


materialize_features()
