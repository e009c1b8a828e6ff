"""### Train recommender

Retrains the two-tower retriever and the re-ranker every week (and when the drift check asks for it) on what is left
after poison was set aside, checks batch, quality, fairness and the champion on the same window, and decides: promote,
hold or reject. Only a promoted version is published; else the champion serves on. `marquee models` shows and undoes.

* The same data, parameters and code find the version that they already made: a rerun trains nothing twice.
"""

from datetime import timedelta

from airflow.sdk import AssetOrTimeSchedule, dag, get_current_context, task
from pipeline_assets import CHAMPION_MODEL, RETRAINING_WANTED, TASK_DEFAULTS, at

from marquee.settings import load_settings

# of a large log it takes hours, where every other task takes minutes
_TRAINING_TIMEOUT = timedelta(hours=load_settings().training_timeout_hours)


@dag(
    schedule=AssetOrTimeSchedule(timetable=at("0 2 * * 0"), assets=[RETRAINING_WANTED]),
    catchup=False,
    max_active_runs=1,
    default_args={**TASK_DEFAULTS, "owner": "ml-engineering"},
    dagrun_timeout=_TRAINING_TIMEOUT + timedelta(hours=6),
    tags=["training", "weekly"],
    doc_md=__doc__,
)
def train_recommender():
    @task
    def build_training_set(dag_run=None):
        """Extract interactions and features to columns on disk; set poison aside."""
        from training import pipeline

        pipeline.build_training_set(dag_run.run_id, dag_run.run_after, load_settings())

    @task(execution_timeout=_TRAINING_TIMEOUT)
    def train_models(dag_run=None):
        """Fit retriever and re-ranker on both splits, then take everything in."""
        from training import pipeline

        return pipeline.train_models(dag_run.run_id, load_settings())

    @task
    def evaluate_version(dag_run=None):
        """Measure the version beside its baselines, write its artefact and register it."""
        from training import pipeline

        return pipeline.evaluate_version(dag_run.run_id, dag_run.run_after, load_settings())

    @task(map_index_template="{{ step }}")
    def check_version(step: str, model_version: str, dag_run=None):
        """Check the batch, quality, fairness or the champion, and return the worst outcome."""
        from training import gate

        get_current_context()["step"] = step
        return gate.check_version(step, dag_run.run_id, model_version, load_settings())

    @task
    def decide_verdict(model_version: str, dag_run=None):
        """Promote, hold or reject, with the reasons; draw the verdict's page."""
        from monitoring import model_verdict
        from training import verdicts

        print(verdicts.decide(dag_run.run_id, model_version, dag_run.run_after, load_settings()))
        print(model_verdict.write_page(dag_run.run_id, load_settings()))

    @task(outlets=[CHAMPION_MODEL])
    def publish_version(dag_run=None):
        """Let a promoted version serve; a held or rejected one leaves the champion in place."""
        from training import pipeline, verdicts

        print(verdicts.publish(dag_run.run_id, dag_run.run_after, load_settings()))
        pipeline.clean_up(dag_run.run_id, load_settings())

    @task
    def track_versions():
        """Show the versions in MLflow (`marquee models ui`); a store that fails is a warning and caught up with."""
        from training import tracking

        print(tracking.try_sync(load_settings()))

    version = evaluate_version()
    checked = check_version.partial(model_version=version).expand(step=["batch", "quality", "fairness", "champion"])
    build_training_set() >> train_models() >> version
    checked >> decide_verdict(version) >> publish_version() >> track_versions()


train_recommender()
