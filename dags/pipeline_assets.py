"""The assets by which one DAG starts the next, and the defaults that every DAG's tasks share.

No DAG has a start date: a new installation then waits for the next time of each schedule, where with one Airflow would
run the last time that has passed, at once and beside the first run of the pipeline.
"""

from datetime import timedelta

from airflow.sdk import Asset

RAW_SOURCES = Asset("raw_sources")
PROFILES = Asset("profiles")
ONLINE_FEATURES = Asset("online_features")
CHAMPION_MODEL = Asset("champion_model")
QUALITY_VERDICT = Asset("quality_verdict")
RETRAINING_WANTED = Asset("retraining_wanted")
CAMPAIGN_SENDS = Asset("campaign_sends")

TASK_DEFAULTS = {
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    "execution_timeout": timedelta(minutes=30),
}
