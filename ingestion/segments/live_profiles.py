"""A subscriber's profile as it is this second: last night's, with what events have changed since.

In: subscriber ids. Out: for each the profile's live fields, the purposes they permit, and the events that conditions
count. An event is whose its first identifier is, by identity as it stands now.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow, class_row

from ingestion.segments.conditions import EventCondition
from ingestion.segments.evaluation import Event

# computed from events here as int_subscribers_staged and int_subscribers_consumed do; a test holds them equal
RECOMPUTED_FIELDS = frozenset({"last_active_at", "last_consumed_at", "interaction_count", "interaction_count_28d"})
# what batches bring, and whole days: last night's value is the newest there is
BATCH_FIELDS = frozenset({
    "gender", "age_band", "occupation", "country", "region", "timezone", "plan", "subscription_status", "is_paying",
    "trial_ends_at", "renews_at", "first_paid_at", "paid_tenure_days", "tenure_days", "is_email_deliverable",
    "last_email_opened_at", "is_simulated",
})  # fmt: skip
LIVE_FIELDS = RECOMPUTED_FIELDS | BATCH_FIELDS

# who came since last night has none of what batches bring
_UNSEEN: Mapping[str, object] = {
    **dict.fromkeys(BATCH_FIELDS),
    "gender": "unknown", "age_band": "unknown", "occupation": "unknown", "region": "other", "timezone": "UTC",
    "plan": "none", "subscription_status": "none", "is_paying": False, "is_email_deliverable": False,
}  # fmt: skip

# the identifiers by which events name the wanted subscribers; their events are found by the index events_by_person
_THEIR_EVENTS = """
with wanted as (
    select profile.identifier_id, members.cluster_id, identity.subscriber_id(profile.identifier_key) as subscriber_id
    from identity.identifiers as profile
    inner join identity.members on members.identifier_id = profile.identifier_id
    where profile.identifier_key = any(%(keys)s::uuid[])
),
named as materialized (
    select wanted.subscriber_id, kinds.kind, identifiers.value
    from wanted
    inner join identity.members on members.cluster_id = wanted.cluster_id
        and members.profile_id = wanted.identifier_id and members.is_named
    inner join identity.identifiers on identifiers.identifier_id = members.identifier_id
    inner join identity.kinds on kinds.kind_id = identifiers.kind_id
    where kinds.kind in ('user_id', 'anonymous_id', 'device_id')
),
theirs as (
    select named.subscriber_id, events.*
    from named
    inner join raw.events on
        coalesce(nullif(trim(events.user_id), ''), nullif(trim(events.anonymous_id), ''), nullif(trim(device_id), ''))
        = named.value
        and named.kind = case
            when nullif(trim(events.user_id), '') is not null then 'user_id'
            when nullif(trim(events.anonymous_id), '') is not null then 'anonymous_id'
            else 'device_id'
        end
    where events.occurred_at <= %(now)s
)
"""


@dataclass(frozen=True)
class LiveProfile:
    """A subscriber this second.

    Attributes:
        fields: the live fields by name.
        permitted: purposes that last night's build found permitted, without what was refused since.
        events: those that conditions count, over the longest of their windows.
    """

    subscriber_id: str
    fields: Mapping[str, object]
    permitted: frozenset[str]
    events: tuple[Event, ...]


@dataclass(frozen=True)
class _Activity:
    """What a subscriber's events say in all; whom no event names is not there."""

    subscriber_id: str
    last_active_at: datetime
    last_consumed_at: datetime | None
    interaction_count: int
    interaction_count_28d: int
    refusals: list[list[str]]
    granted: list[str]
    is_simulated: bool


def read_live_profiles(
    connection: Connection[DictRow],
    subscriber_ids: Sequence[str],
    conditions: Sequence[EventCondition],
    built_at: datetime,
    now: datetime,
) -> list[LiveProfile]:
    """The profiles of these subscribers at `now`; `built_at` is the moment of the newest build."""
    nightly = _nightly_fields(connection, subscriber_ids)
    activities = _activities(connection, subscriber_ids, built_at, now)
    permitted = _permitted(connection, subscriber_ids)
    events = _counted_events(connection, subscriber_ids, conditions, now)
    return [
        LiveProfile(
            one.subscriber_id,
            {
                **(nightly.get(one.subscriber_id) or {**_UNSEEN, "is_simulated": one.is_simulated}),
                "last_active_at": one.last_active_at,
                "last_consumed_at": one.last_consumed_at,
                "interaction_count": one.interaction_count,
                "interaction_count_28d": one.interaction_count_28d,
            },
            _permitted_now(one, permitted.get(one.subscriber_id)),
            tuple(events.get(one.subscriber_id, ())),
        )
        for one in activities
    ]


def _nightly_fields(connection: Connection[DictRow], subscriber_ids: Sequence[str]) -> dict[str, dict[str, object]]:
    columns = ", ".join(sorted(BATCH_FIELDS))
    rows = connection.execute(
        f"select subscriber_id, {columns} from marts.dim_subscribers where subscriber_id = any(%s)".encode(),
        (list(subscriber_ids),),
    )
    return {str(row.pop("subscriber_id")): row for row in rows}


def _activities(
    connection: Connection[DictRow], subscriber_ids: Sequence[str], built_at: datetime, now: datetime
) -> list[_Activity]:
    with connection.cursor(row_factory=class_row(_Activity)) as cursor:
        return cursor.execute(
            _THEIR_EVENTS.encode()
            + b"""
            select
                theirs.subscriber_id,
                max(theirs.occurred_at) as last_active_at,
                max(theirs.occurred_at) filter (where consumed.content_id is not null) as last_consumed_at,
                count(consumed.content_id) as interaction_count,
                count(consumed.content_id) filter (where theirs.occurred_at > %(now)s - interval '672 hours')
                    as interaction_count_28d,
                coalesce(jsonb_agg(theirs.consent_signals -> 'refused') filter (
                    where theirs.occurred_at > %(built_at)s and theirs.consent_signals ? 'refused'
                ), '[]') as refusals,
                coalesce((array_agg(to_jsonb(theirs.consent_purposes) order by theirs.occurred_at desc)
                    filter (where theirs.occurred_at > %(built_at)s and theirs.consent_purposes is not null)
                )[1], '[]') as granted,
                bool_or(theirs.is_simulated) as is_simulated
            from theirs
            left join marts.dim_content as consumed
                on theirs.content_id = consumed.content_id and theirs.event_type = 'track' and theirs.event in (
                    'Video Playback Completed', 'Video Playback Exited', 'Article Read', 'Podcast Played'
                )
            group by theirs.subscriber_id
            """,
            {"keys": list(subscriber_ids), "now": now, "built_at": built_at},
        ).fetchall()


def _permitted(connection: Connection[DictRow], subscriber_ids: Sequence[str]) -> dict[str, frozenset[str]]:
    rows = connection.execute(
        "select subscriber_id, array_agg(purpose) filter (where is_permitted) as purposes "
        "from intermediate.int_consents_current where subscriber_id = any(%s) group by subscriber_id",
        (list(subscriber_ids),),
    )
    return {str(row["subscriber_id"]): frozenset(row["purposes"] or ()) for row in rows}


def _permitted_now(activity: _Activity, nightly: frozenset[str] | None) -> frozenset[str]:
    """A refusal counts at once; a grant only of whom the build does not know: it has rules of regions to weigh."""
    base = frozenset(activity.granted) if nightly is None else nightly
    return base - frozenset().union(*activity.refusals)


def _counted_events(
    connection: Connection[DictRow],
    subscriber_ids: Sequence[str],
    conditions: Collection[EventCondition],
    now: datetime,
) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    if not conditions:
        return found
    since = now - timedelta(days=max(condition.within_days for condition in conditions))
    rows = connection.execute(
        _THEIR_EVENTS.encode()
        + b"""
        select subscriber_id, event_type, event, occurred_at, content_id,
            case when device_type in ('web', 'mobile', 'connected_tv') then device_type else 'web' end as device_type,
            greatest(0, least(1, watched_fraction)) as watched_fraction, properties
        from theirs
        where occurred_at > %(since)s and event = any(%(names)s)
        """,
        {
            "keys": list(subscriber_ids),
            "now": now,
            "since": since,
            "names": sorted({condition.event for condition in conditions}),
        },
    )
    for row in rows:
        found.setdefault(str(row.pop("subscriber_id")), []).append(Event(**row))
    return found
