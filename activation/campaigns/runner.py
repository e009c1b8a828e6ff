"""Runs one campaign: settles what a dead run left, lists the audience, and sends each message once.

In: a campaign's id and the key of the run. Out: a `CampaignRun` with counts, also in activation.campaign_runs. A retry
of a run goes on where it stopped; a rerun sends nothing again.
"""

from collections import Counter, deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

import structlog
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from activation.campaigns import claims
from activation.campaigns.audience import Candidate, Exclusion, count_exclusions, list_candidates
from activation.campaigns.claims import Claim, Clock
from activation.campaigns.definitions import DEFINITIONS_DIR, Campaign, CampaignError, find_campaign
from activation.campaigns.messages import MessageMaker
from activation.channels.email.message import EmailMessage
from activation.channels.email.sender import (
    EmailSender,
    MessageRefusedError,
    OutcomeUnknownError,
    ProviderUnavailableError,
)
from activation.serving.recommender import open_recommender
from marquee import database
from marquee.clock import utc_now
from marquee.settings import Settings

_log = structlog.get_logger()

_PREPARED_AHEAD = 8
_PREPARING_THREADS = 2
_LOG_EVERY = 100
# more in a row, and it is the provider that fails: better to stop than to put every message in doubt
_MAX_UNKNOWN_IN_A_ROW = 3


class CampaignStoppedError(CampaignError):
    """The provider does not take messages; what went is recorded, and a retry goes on from there."""


@dataclass(frozen=True)
class CampaignRun:
    """What a run did. The candidates are those sent to and those excluded, by reason."""

    campaign_id: str
    run_key: str
    as_of: datetime
    candidate_count: int
    sent_count: int
    excluded_counts: dict[str, int]


def run_campaign(
    campaign_id: str,
    run_key: str,
    as_of: datetime,
    settings: Settings,
    *,
    clock: Clock = utc_now,
    folder: Path = DEFINITIONS_DIR,
) -> CampaignRun:
    """Send the campaign's messages that are due at `as_of`. `clock` tells when a message really goes.

    Raises:
        CampaignError: the campaign is unknown or switched off, or the marts are not built.
        CampaignStoppedError: the provider does not take messages now; call again with the same `run_key`.
    """
    campaign = find_campaign(campaign_id, folder)
    if not campaign.is_enabled:
        raise CampaignError(f"campaign {campaign_id!r} is switched off; set is_enabled to true in its definition")
    with closing(EmailSender(settings)) as sender, database.connect(settings) as connection:
        # each claim and each settlement is a transaction of its own
        connection.autocommit = True
        with claims.only_runner(connection, campaign.campaign_id, campaign.category):
            unsent = claims.settle_leftovers(connection, campaign, sender, settings, clock)
            candidates = list_candidates(connection, campaign, run_key, as_of, [one.send_id for one in unsent])
            ids = _send_ids(connection, candidates, unsent)
            delivery = _Delivery(connection, campaign, sender, run_key, clock)
            if ids:
                due = [(one, ids[place]) for place, one in enumerate(candidates) if place in ids]
                _log.info("campaign starts", campaign=campaign_id, candidates=len(candidates), due=len(due))
                _send_all(delivery, due, campaign, settings, as_of)
            return _record(connection, campaign, run_key, as_of, candidates, delivery.excluded)


def _send_ids(
    connection: Connection[DictRow], candidates: Sequence[Candidate], unsent: Sequence[Claim]
) -> dict[int, UUID]:
    """An id for each place in `candidates` that is to be sent: the one it was tried under, or a new one."""
    former = {(one.subscriber_id, one.email_hash, one.occurrence_key): one.send_id for one in unsent}
    ids = {
        place: former.get((one.subscriber_id, one.email_hash or "", one.occurrence_key)) or claims.new_send_id()
        for place, one in enumerate(candidates)
        if one.is_to_be_sent
    }
    # what did not go out and is not wanted any more, or is now somebody else's, must not stand in the way
    claims.release(connection, [one.send_id for one in unsent if one.send_id not in ids.values()])
    return ids


class _Delivery:
    """Claims, sends and settles one message after the other; counts who got nothing after all."""

    def __init__(
        self, connection: Connection[DictRow], campaign: Campaign, sender: EmailSender, run_key: str, clock: Clock
    ) -> None:
        self.excluded: Counter[str] = Counter()
        self._connection = connection
        self._campaign = campaign
        self._sender = sender
        self._run_key = run_key
        self._clock = clock
        self._unknown_in_a_row = 0

    def deliver(self, candidate: Candidate, send_id: UUID, message: EmailMessage) -> None:
        """Send one message, if consent still stands.

        Raises:
            CampaignStoppedError: the provider takes nothing now.
        """
        refusal = claims.claim(self._connection, self._campaign, candidate, send_id, self._run_key, self._clock())
        if refusal is not None:
            self.excluded[refusal] += 1
            return
        try:
            provider_message_id = self._sender.send(message)
        except MessageRefusedError as error:
            claims.mark_failed(self._connection, send_id, str(error), self._clock())
            self.excluded[Exclusion.REFUSED_BY_PROVIDER] += 1
        except OutcomeUnknownError as error:
            self._hold(send_id, error)
        except ProviderUnavailableError as error:
            claims.release(self._connection, [send_id])
            raise CampaignStoppedError(
                f"campaign {self._campaign.campaign_id!r} stopped: {error}; run it again, and it goes on from here"
            ) from error
        else:
            claims.mark_sent(self._connection, send_id, provider_message_id, self._clock())
            self._unknown_in_a_row = 0

    def _hold(self, send_id: UUID, error: OutcomeUnknownError) -> None:
        claims.mark_held(self._connection, send_id, str(error), self._clock())
        self.excluded[Exclusion.OUTCOME_UNKNOWN] += 1
        self._unknown_in_a_row += 1
        _log.warning("it is not known whether a message went; it is held", send_id=str(send_id), reason=str(error))
        if self._unknown_in_a_row >= _MAX_UNKNOWN_IN_A_ROW:
            raise CampaignStoppedError(
                f"campaign {self._campaign.campaign_id!r} stopped: {self._unknown_in_a_row} messages in a row with an "
                f"unknown outcome ({error}); run it again: what went is asked for first"
            ) from error


def _send_all(
    delivery: _Delivery,
    due: Sequence[tuple[Candidate, UUID]],
    campaign: Campaign,
    settings: Settings,
    as_of: datetime,
) -> None:
    with closing(open_recommender(settings)) as recommender:
        maker = MessageMaker(campaign, settings, recommender)
        with closing(_prepared(maker, due, as_of)) as messages:
            for count, (candidate, send_id, message) in enumerate(messages, start=1):
                delivery.deliver(candidate, send_id, message)
                if count % _LOG_EVERY == 0 or count == len(due):
                    _log.info("campaign goes on", campaign=campaign.campaign_id, done=count, of=len(due))


def _prepared(
    maker: MessageMaker, due: Sequence[tuple[Candidate, UUID]], as_of: datetime
) -> Generator[tuple[Candidate, UUID, EmailMessage]]:
    """The messages in order; the next few are made while one is on its way. Nothing here has an effect outside."""
    with ThreadPoolExecutor(_PREPARING_THREADS, thread_name_prefix="messages") as threads:
        rest = iter(due)
        waiting = deque((pair, threads.submit(maker.make, *pair, as_of)) for pair in islice(rest, _PREPARED_AHEAD))
        while waiting:
            (candidate, send_id), made = waiting.popleft()
            waiting.extend((pair, threads.submit(maker.make, *pair, as_of)) for pair in islice(rest, 1))
            yield candidate, send_id, made.result()


def _record(
    connection: Connection[DictRow],
    campaign: Campaign,
    run_key: str,
    as_of: datetime,
    candidates: Sequence[Candidate],
    excluded_late: Counter[str],
) -> CampaignRun:
    """Count and store. What is sent is counted from the claims, so that a run in several attempts is counted whole."""
    row = connection.execute(
        "select count(*) as sent_count from activation.sends "
        "where campaign_id = %s and run_key = %s and status = 'sent'",
        (campaign.campaign_id, run_key),
    ).fetchone()
    assert row is not None
    excluded = dict(Counter(count_exclusions(candidates)) + excluded_late)
    run = CampaignRun(campaign.campaign_id, run_key, as_of, len(candidates), row["sent_count"], excluded)
    connection.execute(
        """
        insert into activation.campaign_runs (
            campaign_id, run_key, as_of, candidate_count, sent_count, excluded_counts
        ) values (%s, %s, %s, %s, %s, %s)
        on conflict (campaign_id, run_key) do update
        set as_of = excluded.as_of, candidate_count = excluded.candidate_count, sent_count = excluded.sent_count,
            excluded_counts = excluded.excluded_counts, finished_at = now()
        """,
        (run.campaign_id, run.run_key, run.as_of, run.candidate_count, run.sent_count, Jsonb(excluded)),
    )
    _log.info(
        "campaign is through", campaign=run.campaign_id, candidates=run.candidate_count, sent=run.sent_count, **excluded
    )
    return run
