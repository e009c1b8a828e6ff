"""The claim on a message before it goes out, and its settlement afterwards: what makes it go out once.

In: a candidate about to be written to, or rows that a dead run left. Out: rows of activation.sends that say what is so.
A claim is durable before the provider is called, so that a crash leaves a question (`claimed`) and never a forgotten
message. The provider's list of messages answers it; where it cannot, the row is `held` and asked about again in the
next run. Nothing is ever guessed.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import structlog
from psycopg import Connection
from psycopg.rows import DictRow

from activation.campaigns.audience import Candidate, Exclusion
from activation.campaigns.definitions import Campaign, CampaignError
from activation.channels.email.sender import ActivityUnavailableError, EmailSender
from activation.preferences.permission import PERMITTED, Addressee, permission_parameters, read_permitted
from marquee.settings import Settings

_log = structlog.get_logger()

Clock = Callable[[], datetime]

# The local endpoint lists a message as soon as it is stored, but a request that a killed run had written may still be
# on its way through it: it waits up to 10 s for a connection and 2 s for the statement, then gives up.
_LOCAL_LAG = timedelta(seconds=13)
_ASK_EVERY = timedelta(seconds=0.1)


# One statement reads consent and claims, so that nothing comes between: not even a build that has just joined two
# candidates. A dead run's claim that did not go out is taken over, with its id.
_CLAIM = f"""
insert into activation.sends (
    send_id, campaign_id, category, subscriber_id, occurrence_key, email_hash, status, run_key, claimed_at
)
select
    %(send_id)s, %(campaign_id)s, %(category)s, subscriber_id, %(occurrence_key)s, %(email_hash)s, 'claimed',
    %(run_key)s, %(now)s
from ({PERMITTED}) as permitted
where not exists (
    select from activation.sends as earlier
    where
        earlier.campaign_id = %(campaign_id)s
        and earlier.subscriber_id = any(activation.ids_of(permitted.subscriber_id))
        and earlier.occurrence_key = %(occurrence_key)s
        and earlier.send_id <> %(send_id)s
)
on conflict (send_id) do update
set status = 'claimed', run_key = excluded.run_key, claimed_at = excluded.claimed_at, reason = null, settled_at = null
returning send_id
"""

# A settlement lost in a crash is found again by asking the provider; only the claim must be on disk at once.
_SETTLE = """
with hurry as (select set_config('synchronous_commit', 'off', true) as setting)
update activation.sends
set status = %s, reason = %s, provider_message_id = %s, settled_at = %s
from hurry
where send_id = %s and status in ('claimed', 'held') and hurry.setting = 'off'
"""


@dataclass(frozen=True)
class Claim:
    """A row of activation.sends that is not settled."""

    send_id: UUID
    subscriber_id: str
    email_hash: str
    occurrence_key: str
    claimed_at: datetime


@contextmanager
def only_runner(connection: Connection[DictRow], campaign_id: str, category: str) -> Iterator[None]:
    """Be the only one that sends this campaign, and any of its category, whose caps count together. Waits its turn.

    The locks belong to the session that also writes the claims: who loses the one cannot do the other. They end with
    the process, so that a claim found under them is a dead run's.
    """
    names = [f"campaign {campaign_id}", f"campaign category {category}"]
    for name in names:
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (name,))
    try:
        yield
    finally:
        if not connection.closed:
            for name in names:
                connection.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (name,))


def settle_leftovers(
    connection: Connection[DictRow], campaign: Campaign, sender: EmailSender, settings: Settings, clock: Clock
) -> list[Claim]:
    """Ask the provider what became of every unsettled message. Returns the claims that surely did not go out.

    Those found become `sent`; those of which nothing can be known yet become (or stay) `held`.
    """
    unsent: list[Claim] = []
    leftovers = _leftovers(connection, campaign)
    lag = _LOCAL_LAG if settings.is_email_local else timedelta(seconds=settings.sendgrid_activity_lag_seconds)
    for place, claim in enumerate(leftovers):
        until = claim.claimed_at + lag
        try:
            provider_message_id = _ask(sender, claim, until if settings.is_email_local else None, clock)
        except ActivityUnavailableError as error:
            # one that cannot be asked about one message cannot be asked about the next
            for unknown in leftovers[place:]:
                mark_held(connection, unknown.send_id, f"the provider's list cannot be asked: {error}", clock())
            break
        if provider_message_id is not None:
            mark_sent(connection, claim.send_id, provider_message_id, clock())
        elif clock() >= until:
            unsent.append(claim)
        else:
            reason = f"not in the provider's list, which may lag until {until:%Y-%m-%d %H:%M:%S} UTC"
            mark_held(connection, claim.send_id, reason, clock())
    if leftovers:
        _log.info(
            "looked at unsettled messages", campaign=campaign.campaign_id, count=len(leftovers), unsent=len(unsent)
        )
    return unsent


def claim(
    connection: Connection[DictRow],
    campaign: Campaign,
    candidate: Candidate,
    send_id: UUID,
    run_key: str,
    now: datetime,
) -> Exclusion | None:
    """Claim one message, durably, if consent still stands. None: it may be sent now.

    `connection` is in autocommit mode, so that the claim is on disk when this returns.
    """
    assert connection.autocommit and candidate.email_hash is not None
    addressee = Addressee(candidate.subscriber_id, candidate.email_hash)
    values = {
        **permission_parameters(campaign.consent_purpose, [addressee]),
        "send_id": send_id,
        "campaign_id": campaign.campaign_id,
        "category": campaign.category,
        "occurrence_key": candidate.occurrence_key,
        "email_hash": candidate.email_hash,
        "run_key": run_key,
        "now": now,
    }
    try:
        is_claimed = connection.execute(_CLAIM, values).fetchone() is not None
    except psycopg.errors.UniqueViolation:
        # somebody has this occurrence: the constraint is what holds when everything else has failed
        return Exclusion.ALREADY_SENT
    if is_claimed:
        return None
    release(connection, [send_id])
    is_permitted = read_permitted(connection, campaign.consent_purpose, [addressee])
    return Exclusion.ALREADY_SENT if is_permitted else Exclusion.NO_CONSENT


def new_send_id() -> UUID:
    """An id for a message that was not tried before."""
    return uuid.uuid4()


def mark_sent(connection: Connection[DictRow], send_id: UUID, provider_message_id: str, now: datetime) -> None:
    _settle(connection, send_id, "sent", None, provider_message_id, now)


def mark_failed(connection: Connection[DictRow], send_id: UUID, reason: str, now: datetime) -> None:
    """The provider refused the message for good: it is not tried again."""
    _settle(connection, send_id, "failed", reason, None, now)


def mark_held(connection: Connection[DictRow], send_id: UUID, reason: str, now: datetime) -> None:
    """Nobody knows whether the message went: the next run asks again."""
    _settle(connection, send_id, "held", reason, None, now)


def release(connection: Connection[DictRow], send_ids: Sequence[UUID]) -> None:
    """Give back claims on messages that surely did not go out."""
    connection.execute(
        "delete from activation.sends where send_id = any(%s) and status in ('claimed', 'held')", (list(send_ids),)
    )


@dataclass(frozen=True)
class HeldMessage:
    """What a person who settles it by hand needs to know; the address is not here."""

    send_id: UUID
    campaign_id: str
    category: str
    subscriber_id: str
    occurrence_key: str
    reason: str
    claimed_at: datetime


def read_held(connection: Connection[DictRow]) -> list[HeldMessage]:
    """Messages of which nobody knows whether they went, the oldest first."""
    rows = connection.execute(
        "select send_id, campaign_id, category, subscriber_id, occurrence_key, coalesce(reason, '') as reason, "
        "claimed_at from activation.sends where status = 'held' order by claimed_at, send_id"
    )
    return [HeldMessage(**row) for row in rows]


def settle_by_hand(connection: Connection[DictRow], send_id: UUID, *, was_sent: bool, now: datetime) -> None:
    """Say what somebody found out about a held message; one that was not sent may go out in the next run.

    Raises:
        CampaignError: there is no held message of that id.
    """
    held = {one.send_id: one for one in read_held(connection)}
    if send_id not in held:
        raise CampaignError(f"no message {send_id} is held; `marquee campaigns holds` lists those that are")
    with only_runner(connection, held[send_id].campaign_id, held[send_id].category):
        if was_sent:
            _settle(connection, send_id, "sent", "settled by hand", None, now)
        else:
            release(connection, [send_id])


def _leftovers(connection: Connection[DictRow], campaign: Campaign) -> list[Claim]:
    rows = connection.execute(
        "select send_id, subscriber_id, email_hash, occurrence_key, claimed_at from activation.sends "
        "where campaign_id = %s and status in ('claimed', 'held') order by claimed_at, send_id",
        (campaign.campaign_id,),
    )
    return [Claim(**row) for row in rows]


def _ask(sender: EmailSender, claim: Claim, until: datetime | None, clock: Clock) -> str | None:
    """The provider's id of a claimed message, asked for until it is there or `until` has come; once without one."""
    for _ in range(_LOCAL_LAG // _ASK_EVERY + 1):
        found = sender.find_message(str(claim.send_id))
        if found is not None or until is None or clock() >= until:
            return found
        time.sleep(_ASK_EVERY.total_seconds())
    return None


def _settle(
    connection: Connection[DictRow],
    send_id: UUID,
    status: str,
    reason: str | None,
    provider_message_id: str | None,
    now: datetime,
) -> None:
    connection.execute(_SETTLE, (status, reason, provider_message_id, now, send_id))
