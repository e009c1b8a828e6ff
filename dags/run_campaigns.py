"""### Run campaigns

Sends the scheduled campaigns: one mapped task a campaign. Each message is claimed in `activation.sends` before the
provider is called, so that a rerun, a retry or a crash never sends it twice. Consent, suppression and caps are checked
at the moment of sending; who got nothing, and why, is counted in `activation.campaign_runs`.
"""

from datetime import timedelta

from airflow.sdk import AssetOrTimeSchedule, dag, task
from pipeline_assets import CAMPAIGN_SENDS, QUALITY_VERDICT, TASK_DEFAULTS, at


@dag(
    schedule=AssetOrTimeSchedule(timetable=at("0 9 * * *"), assets=[QUALITY_VERDICT]),
    catchup=False,
    max_active_runs=1,
    default_args={**TASK_DEFAULTS, "owner": "marketing"},
    dagrun_timeout=timedelta(hours=2),
    tags=["activation", "email"],
    doc_md=__doc__,
)
def run_campaigns():
    @task
    def list_campaigns():
        """The campaigns that are declared and switched on, highest priority first."""
        from activation.campaigns import definitions

        return [campaign.campaign_id for campaign in definitions.load_campaigns()]

    # One at a time: the frequency cap of one campaign counts what the ones before it sent.
    @task(map_index_template="{{ campaign_name }}", max_active_tis_per_dagrun=1)
    def run_campaign(campaign_id: str, dag_run=None):
        """Send one campaign's messages and return the counts."""
        from airflow.sdk import get_current_context

        from activation.campaigns import runner
        from marquee.settings import load_settings

        get_current_context()["campaign_name"] = campaign_id
        run = runner.run_campaign(campaign_id, dag_run.run_id, dag_run.run_after, load_settings())
        return {"candidates": run.candidate_count, "sent": run.sent_count, "excluded": run.excluded_counts}

    @task(outlets=[CAMPAIGN_SENDS])
    def publish_sends(counts):
        """Say that the campaigns are through."""
        print(f"{sum(count['sent'] for count in counts)} messages sent")

    publish_sends(run_campaign.expand(campaign_id=list_campaigns()))


run_campaigns()
