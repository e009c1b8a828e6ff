"""The assets by which one DAG starts the next, and the defaults that every DAG's tasks share.

No DAG has a start date: a new installation then waits for the next time of each schedule, where with one Airflow would
run the last time that has passed, at once and beside the first run of the pipeline. `at` says so once more: without it
Airflow still runs a time that passed lately (a tenth of the interval, of a week 17 hours).
"""

from datetime import timedelta

from airflow.sdk import Asset, CronTriggerTimetable

RAW_SOURCES = Asset("raw_sources")
PROFILES = Asset("profiles")
ONLINE_FEATURES = Asset("online_features")
CHAMPION_MODEL = Asset("champion_model")
QUALITY_VERDICT = Asset("quality_verdict")
RETRAINING_WANTED = Asset("retraining_wanted")
CAMPAIGN_SENDS = Asset("campaign_sends")


def at(cron: str) -> CronTriggerTimetable:
    """The times of a schedule (UTC), from the next one on."""
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(0))


TASK_DEFAULTS = {
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    "execution_timeout": timedelta(minutes=30),
}
