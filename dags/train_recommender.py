"""### Train recommender

Retrains the two-tower retriever and the re-ranker every week (and when the drift check asks for it), measures them on a
temporal and a leave-last-out split beside popularity and item-kNN, and promotes the new version only when quality and
fairness hold. A refused version stays listed (`marquee models list`) with the reasons; the champion keeps serving.

* The same data, parameters and code find the version that they already made: a rerun trains nothing twice.
* The version, its curves and its metrics are shown in MLflow (`marquee models ui`), its model card among the reports.
"""

from datetime import timedelta

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, dag, task
from pipeline_assets import CHAMPION_MODEL, RETRAINING_WANTED, TASK_DEFAULTS


@dag(
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 2 * * 0", timezone="UTC"), assets=[RETRAINING_WANTED]
    ),
    catchup=False,
    max_active_runs=1,
    default_args={**TASK_DEFAULTS, "owner": "ml-engineering"},
    dagrun_timeout=timedelta(hours=6),
    tags=["training", "weekly"],
    doc_md=__doc__,
)
def train_recommender():
    @task
    def build_training_set(dag_run=None):
        """Extract interactions and point-in-time features to columns on disk."""
        from marquee.settings import load_settings
        from training import pipeline

        pipeline.build_training_set(dag_run.run_id, dag_run.run_after, load_settings())

    @task
    def train_models(dag_run=None):
        """Fit retriever and re-ranker on both splits, then take everything in."""
        from marquee.settings import load_settings
        from training import pipeline

        return pipeline.train_models(dag_run.run_id, load_settings())

    @task
    def evaluate_version(dag_run=None):
        """Measure the version beside its baselines, write its artefact and register it."""
        from marquee.settings import load_settings
        from training import pipeline

        return pipeline.evaluate_version(dag_run.run_id, dag_run.run_after, load_settings())

    @task(outlets=[CHAMPION_MODEL])
    def decide_promotion(model_version: str, dag_run=None):
        """Promote the version if the gate lets it through; the decision is recorded either way."""
        from marquee.settings import load_settings
        from training import gate, pipeline

        decision = gate.decide_promotion(model_version, dag_run.run_after, load_settings())
        pipeline.clean_up(dag_run.run_id, load_settings())
        print(decision)

    @task
    def track_versions():
        """Show the versions in MLflow; a store that fails is a warning, and the next run catches up."""
        from marquee.settings import load_settings
        from training import tracking

        print(tracking.try_sync(load_settings()))

    evaluated = evaluate_version()
    build_training_set() >> train_models() >> evaluated
    decide_promotion(evaluated) >> track_versions()


train_recommender()
