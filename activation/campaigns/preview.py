"""What a run would do now, without doing it: the audience by reason, and one message.

In: a campaign's id and a moment. Out: a `Preview`. Nothing is claimed, sent or stored.
"""

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from activation.campaigns import claims
from activation.campaigns.audience import count_exclusions, list_candidates
from activation.campaigns.definitions import find_campaign
from activation.campaigns.messages import MessageMaker
from activation.channels.email.message import EmailMessage
from activation.serving.recommender import open_recommender
from marquee import database
from marquee.settings import Settings

# no run has this key, so that everything sent before counts as sent before
_NO_RUN = ""


@dataclass(frozen=True)
class Preview:
    candidate_count: int
    due_count: int
    excluded_counts: dict[str, int]
    message: EmailMessage | None


def preview_campaign(campaign_id: str, as_of: datetime, settings: Settings) -> Preview:
    """Count the audience at `as_of` and make the message of the first who is due.

    Raises:
        CampaignError: the campaign is unknown, or the marts are not built.
    """
    campaign = find_campaign(campaign_id)
    with database.connect(settings) as connection:
        candidates = list_candidates(connection, campaign, _NO_RUN, as_of)
    due = [one for one in candidates if one.is_to_be_sent]
    message = None
    if due:
        with closing(open_recommender(settings)) as recommender:
            message = MessageMaker(campaign, settings, recommender).make(due[0], claims.new_send_id(), as_of)
    return Preview(len(candidates), len(due), count_exclusions(candidates), message)
