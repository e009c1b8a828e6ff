"""Who is a candidate of a campaign, and why some of them get nothing.

In: marts.fct_campaign_candidates and the profiles beside it, consents as they stand, what was sent before. Out: one
`Candidate` a row, with the first reason that excludes it or none. Nothing is written here.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow

from activation.campaigns.definitions import Campaign, CampaignError
from activation.preferences.permission import Addressee, read_permitted


class Exclusion(StrEnum):
    """Why a candidate gets no message; the first that holds is counted."""

    ALREADY_SENT = "already_sent"
    REFUSED_BY_PROVIDER = "refused_by_provider"
    OUTCOME_UNKNOWN = "outcome_unknown"
    NO_ADDRESS = "no_address"
    NO_CONSENT = "no_consent"
    UNDELIVERABLE = "undeliverable"
    HOLDOUT = "holdout"
    FREQUENCY_CAP = "frequency_cap"
    SAME_ADDRESS = "same_address"


@dataclass(frozen=True)
class Candidate:
    """A subscriber and one occurrence of a campaign. `is_sent_in_run`: an earlier attempt of this run sent it."""

    subscriber_id: str
    occurrence_key: str
    email: str | None = field(repr=False)
    email_hash: str | None
    first_name: str | None = field(repr=False)
    is_simulated: bool
    exclusion: Exclusion | None = None
    is_sent_in_run: bool = False

    @property
    def is_to_be_sent(self) -> bool:
        return self.exclusion is None and not self.is_sent_in_run


_CANDIDATES = """
select
    candidates.subscriber_id,
    candidates.occurrence_key,
    subscribers.email,
    subscribers.email_hash,
    subscribers.first_name,
    coalesce(subscribers.is_email_deliverable, false) as is_deliverable,
    coalesce(subscribers.is_simulated, false) as is_simulated,
    earlier.status as earlier_status,
    earlier.run_key as earlier_run_key,
    coalesce(earlier.subscriber_id = any(known.ids), false) as is_earlier_their_own,
    known.ids,
    -- messages of the category in the span of each cap, in the caps' order
    array(
        select (
            select count(*)
            from activation.sends as sends
            where
                (sends.subscriber_id = any(known.ids) or sends.email_hash = subscribers.email_hash)
                and sends.category = %(category)s
                and sends.status <> 'failed'
                and sends.claimed_at > caps.since
                and sends.send_id <> all(%(unsent)s)
        )
        from unnest(%(caps_since)s::timestamptz[]) with ordinality as caps (since, place)
        order by caps.place
    ) as message_counts
from marts.fct_campaign_candidates as candidates
cross join lateral (select activation.ids_of(candidates.subscriber_id) as ids) as known
left join marts.dim_subscribers as subscribers on candidates.subscriber_id = subscribers.subscriber_id
left join lateral (
    select found.status, found.run_key, found.subscriber_id
    from (
        select status, run_key, subscriber_id, send_id
        from activation.sends
        where
            campaign_id = candidates.campaign_id
            and subscriber_id = any(known.ids)
            and occurrence_key = candidates.occurrence_key
        union all
        select status, run_key, subscriber_id, send_id
        from activation.sends
        where
            campaign_id = candidates.campaign_id
            and email_hash = subscribers.email_hash
            and occurrence_key = candidates.occurrence_key
    ) as found
    where found.send_id <> all(%(unsent)s)
    order by array_position(array['sent', 'held', 'claimed', 'failed'], found.status)
    limit 1
) as earlier on true
where candidates.campaign_id = %(campaign_id)s
order by candidates.eligible_since, candidates.subscriber_id, candidates.occurrence_key
"""


def list_candidates(
    connection: Connection[DictRow], campaign: Campaign, run_key: str, as_of: datetime, unsent: Collection[UUID] = ()
) -> list[Candidate]:
    """Every candidate, the longest waiting first. `unsent` are claims of dead runs that surely did not go out.

    Raises:
        CampaignError: the marts were not built yet.
    """
    rows = _read(connection, campaign, as_of, unsent)
    addressees = [Addressee(row["subscriber_id"], row["email_hash"]) for row in rows if row["email_hash"]]
    permitted = read_permitted(connection, campaign.consent_purpose, addressees)
    judged = [_judged(row, campaign, run_key, permitted) for row in rows]
    return list(_one_an_address(judged))


def is_held_out(campaign: Campaign, subscriber_id: str) -> bool:
    """Whether an id is one of the share that gets nothing, for comparison: the same answer at every call."""
    digest = hashlib.sha256(f"{campaign.campaign_id}:{subscriber_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < campaign.holdout_share * 2**64


def count_exclusions(candidates: Iterable[Candidate]) -> dict[str, int]:
    """How many candidates each reason keeps from a message."""
    return dict(Counter(str(one.exclusion) for one in candidates if one.exclusion is not None))


def _read(
    connection: Connection[DictRow], campaign: Campaign, as_of: datetime, unsent: Collection[UUID]
) -> list[DictRow]:
    values = {
        "campaign_id": campaign.campaign_id,
        "category": campaign.category,
        "caps_since": [as_of - timedelta(days=cap.days) for cap in campaign.caps],
        "unsent": list(unsent),
    }
    try:
        return connection.execute(_CANDIDATES, values).fetchall()
    except psycopg.errors.UndefinedTable as error:
        raise CampaignError(
            f"the marts are not all there ({error.diag.message_primary}); build the profiles first: `marquee run`, or "
            "the DAG build_profiles"
        ) from error


def _judged(row: DictRow, campaign: Campaign, run_key: str, permitted: frozenset[str]) -> Candidate:
    is_sent_in_run = (
        row["earlier_status"] == "sent" and row["earlier_run_key"] == run_key and row["is_earlier_their_own"]
    )
    return Candidate(
        subscriber_id=row["subscriber_id"],
        occurrence_key=row["occurrence_key"],
        email=row["email"],
        email_hash=row["email_hash"],
        first_name=row["first_name"],
        is_simulated=row["is_simulated"],
        exclusion=None if is_sent_in_run else _exclusion(row, campaign, run_key, permitted),
        is_sent_in_run=is_sent_in_run,
    )


def _exclusion(row: DictRow, campaign: Campaign, run_key: str, permitted: frozenset[str]) -> Exclusion | None:
    """The first reason that keeps a candidate from a message, of those that need no other candidate to be known."""
    checks = (
        (row["earlier_status"] is not None, _of_earlier(row, run_key)),
        (not row["email"] or not row["email_hash"], Exclusion.NO_ADDRESS),
        (row["subscriber_id"] not in permitted, Exclusion.NO_CONSENT),
        (not row["is_deliverable"], Exclusion.UNDELIVERABLE),
        # who got nothing under a former id goes on getting nothing
        (any(is_held_out(campaign, one) for one in row["ids"]), Exclusion.HOLDOUT),
        (_is_capped(campaign, row["message_counts"]), Exclusion.FREQUENCY_CAP),
    )
    return next((reason for holds, reason in checks if holds), None)


def _of_earlier(row: DictRow, run_key: str) -> Exclusion:
    if row["earlier_status"] == "sent" and row["earlier_run_key"] == run_key:
        return Exclusion.SAME_ADDRESS
    return {
        "sent": Exclusion.ALREADY_SENT,
        "failed": Exclusion.REFUSED_BY_PROVIDER,
    }.get(row["earlier_status"], Exclusion.OUTCOME_UNKNOWN)


def _is_capped(campaign: Campaign, message_counts: Sequence[int]) -> bool:
    return any(count >= cap.messages for cap, count in zip(campaign.caps, message_counts, strict=True))


def _one_an_address(candidates: Iterable[Candidate]) -> Iterable[Candidate]:
    """Of the candidates with one address the first keeps its message."""
    taken = set[str | None]()
    for one in candidates:
        if not one.is_to_be_sent:
            yield one
        elif one.email_hash in taken:
            yield replace(one, exclusion=Exclusion.SAME_ADDRESS)
        else:
            taken.add(one.email_hash)
            yield one
