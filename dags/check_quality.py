"""### Check quality

Looks at what the pipeline made: drift of features and traffic, quality and diversity of the recommendations, fairness
between groups of subscribers, freshness of every source, profiles that may be more than one person. Each check writes
an Evidently report (HTML) and its rows to `ops.quality_verdicts`; a failed drift check of an aged champion asks for
retraining.
"""

from datetime import timedelta

from airflow.sdk import AssetOrTimeSchedule, dag, task
from pipeline_assets import CHAMPION_MODEL, QUALITY_VERDICT, RETRAINING_WANTED, TASK_DEFAULTS, at

CHECKS = ["drift", "quality", "fairness", "freshness", "identity"]


@dag(
    schedule=AssetOrTimeSchedule(timetable=at("0 6 * * *"), assets=[CHAMPION_MODEL]),
    catchup=False,
    max_active_runs=1,
    default_args={**TASK_DEFAULTS, "owner": "ml-engineering"},
    dagrun_timeout=timedelta(hours=1),
    tags=["monitoring", "evidently"],
    doc_md=__doc__,
)
def check_quality():
    @task(map_index_template="{{ check_name }}")
    def run_check(kind: str, dag_run=None):
        """Run one kind of check and return its verdict."""
        from airflow.sdk import get_current_context

        from marquee.settings import load_settings
        from monitoring import checks

        get_current_context()["check_name"] = kind
        return checks.run_check(kind, dag_run.run_id, dag_run.run_after, load_settings())

    @task.short_circuit(outlets=[QUALITY_VERDICT])
    def decide_verdict(dag_run=None):
        """Sum the checks up; go on only where the model should be trained again."""
        from marquee.settings import load_settings
        from monitoring import verdicts

        verdict = verdicts.overall(dag_run.run_id, load_settings())
        print(verdict)
        return verdict.wants_retraining

    @task(outlets=[RETRAINING_WANTED])
    def request_retraining():
        """Start train_recommender through its asset."""

    verdict = decide_verdict()
    run_check.expand(kind=CHECKS) >> verdict >> request_retraining()


check_quality()
