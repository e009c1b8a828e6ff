"""### Build profiles

Runs the dbt project: staging, identity resolution, sessions and consent, then marts and feature tables, each with its
contract. One dbt process builds everything; each model is a task here that follows its own result (astronomer-cosmos,
watcher mode). The tests of the data come after the models: where one fails, nothing reads the new profiles.

* `as_of` is this run's own moment, so that clearing a run rebuilds the same day.
* dbt docs are generated beside what follows, and served by `make run`.
"""

from datetime import timedelta

from airflow.sdk import dag, task
from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, LoadMode, TestBehavior
from pipeline_assets import PROFILES, RAW_SOURCES, TASK_DEFAULTS

from marquee import dbt_runner
from marquee.settings import load_settings

AS_OF = "{{ dag_run.run_after.isoformat() }}"


@dag(
    schedule=[RAW_SOURCES],
    catchup=False,
    max_active_runs=1,
    default_args={**TASK_DEFAULTS, "owner": "data-engineering"},
    dagrun_timeout=timedelta(hours=1),
    tags=["dbt", "profiles"],
    doc_md=__doc__,
)
def build_profiles():
    models = DbtTaskGroup(
        group_id="dbt",
        project_config=ProjectConfig(
            dbt_project_path=dbt_runner.PROJECT_DIR,
            manifest_path=dbt_runner.manifest_path(load_settings()),
            install_dbt_deps=False,
        ),
        profile_config=ProfileConfig(
            profile_name=dbt_runner.PROFILE,
            target_name=dbt_runner.TARGET,
            profiles_yml_filepath=dbt_runner.PROFILES_FILE,
        ),
        execution_config=ExecutionConfig(execution_mode=ExecutionMode.WATCHER),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST, test_behavior=TestBehavior.AFTER_ALL, emit_datasets=False
        ),
        operator_args={"env": {"DBT_MARQUEE_AS_OF": AS_OF}, "emit_datasets": False, "poke_interval": 5},
    )

    @task(outlets=[PROFILES])
    def publish_profiles():
        """Say that the profiles are up to date, which starts the features."""

    @task
    def generate_docs(dag_run=None):
        """Write the dbt docs as one page."""
        dbt_runner.generate_docs(load_settings(), dag_run.run_after)

    @task
    def draw_segments():
        """Show the segments with their sizes, entries and exits as a page among the reports."""
        from ingestion.segments.page import write_segments_page

        write_segments_page(load_settings())

    models >> [publish_profiles(), generate_docs(), draw_segments()]


build_profiles()
