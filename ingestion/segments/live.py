"""Segments in the live path: who is touched by new events is judged again within the second, without waiting for night.

In: events as they are committed, once identity has stitched them. Out: raw.live_segment_memberships, the differences
from the newest build; marts.fct_segment_memberships_live shows both as one. Only segments that ask for nothing but
live fields and events take part; of an exclusive group all of them, or none.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.segments.conditions import events_of, fields_of
from ingestion.segments.definitions import Definitions, Segment, load_segments
from ingestion.segments.evaluation import segments_of
from ingestion.segments.faults import SegmentError
from ingestion.segments.live_profiles import LIVE_FIELDS, LiveProfile, read_live_profiles
from ingestion.segments.sizes import read_built_at

_AT_ONCE = 500
# so many touched at once is a batch that was loaded, and the build that follows a load judges everybody
_MOST_TOUCHED = 20_000

_log = structlog.get_logger(__name__)


def follow_events(connection: Connection[DictRow], now: datetime) -> int:
    """Judge whom new events touch since the last call; the number of memberships that changed.

    The position in raw.events moves in the caller's transaction.
    """
    built_at = read_built_at(connection)
    if built_at is None:
        return 0
    try:
        definitions = load_segments()
    except SegmentError as error:
        # identity is stitched in the same service, and goes on
        _log.error("no segment is judged live until the file is corrected", error=str(error))
        return 0
    settle(connection, built_at)
    touched = _touched(connection, built_at)
    if len(touched) > _MOST_TOUCHED:
        _log.info("too many at once to judge live, the next build does", subscribers=len(touched))
        return 0
    return evaluate(connection, touched, now, definitions)


def evaluate(
    connection: Connection[DictRow],
    subscriber_ids: Iterable[str],
    now: datetime,
    definitions: Definitions | None = None,
) -> int:
    """Judge these subscribers at `now`, and store where they differ from the newest build.

    Returns the number of memberships that changed. Nothing is stored before the first build.
    """
    built_at = read_built_at(connection)
    if built_at is None:
        return 0
    definitions = definitions or load_segments()
    segments = live_segments(definitions)
    conditions = [condition for segment in segments for condition in events_of(segment.condition)]
    changed = 0
    everybody = sorted(set(subscriber_ids))
    for first in range(0, len(everybody), _AT_ONCE):
        some = everybody[first : first + _AT_ONCE]
        profiles = read_live_profiles(connection, some, conditions, built_at, now)
        changed += _store(connection, definitions, segments, profiles, now)
    return changed


def live_segments(definitions: Definitions) -> tuple[Segment, ...]:
    """The segments that can be judged between builds."""
    ready = {segment.name for segment in definitions.live if fields_of(segment.condition) <= LIVE_FIELDS}
    held_back = {
        segment.group
        for segment in definitions.live
        if segment.group in definitions.exclusive_groups and segment.name not in ready
    }
    return tuple(
        segment for segment in definitions.live if segment.name in ready and segment.group not in held_back - {None}
    )


def settle(connection: Connection[DictRow], built_at: datetime) -> int:
    """Take away what the newest build knows better or agrees with; the number of rows."""
    return connection.execute(
        "delete from raw.live_segment_memberships as live "
        "where live.evaluated_at <= %s or live.is_member = exists ("
        "select from marts.fct_segment_memberships as built "
        "where built.subscriber_id = live.subscriber_id and built.segment = live.segment)",
        (built_at,),
    ).rowcount


def _store(
    connection: Connection[DictRow],
    definitions: Definitions,
    segments: Sequence[Segment],
    profiles: Sequence[LiveProfile],
    now: datetime,
) -> int:
    judged = [
        (profile, segments_of(definitions, segments, profile.fields, profile.permitted, profile.events, now))
        for profile in profiles
    ]
    rows = [
        (profile.subscriber_id, segment.name, segment.name in inside, profile.fields["is_simulated"])
        for profile, inside in judged
        for segment in segments
    ]
    if not rows:
        return 0
    subscriber_ids, names, are_members, are_simulated = (list(column) for column in zip(*rows, strict=True))
    changed = connection.execute(
        """
        with judged as materialized (
            select found.*, built.segment is not null as is_built
            from unnest(%(ids)s::text[], %(names)s::text[], %(members)s::boolean[], %(simulated)s::boolean[])
                as found (subscriber_id, segment, is_member, is_simulated)
            left join marts.fct_segment_memberships as built using (subscriber_id, segment)
        ),
        agreed as (
            delete from raw.live_segment_memberships as live
            using judged
            where live.subscriber_id = judged.subscriber_id and live.segment = judged.segment
                and judged.is_member = judged.is_built
            returning 1
        ),
        differing as (
            insert into raw.live_segment_memberships as live (
                subscriber_id, segment, is_member, since, evaluated_at, is_simulated
            )
            select subscriber_id, segment, is_member, %(now)s, %(now)s, is_simulated
            from judged
            where is_member <> is_built
            on conflict (subscriber_id, segment) do update set
                since = case when live.is_member = excluded.is_member then live.since else excluded.since end,
                is_member = excluded.is_member,
                evaluated_at = excluded.evaluated_at
            returning (live.since = %(now)s)::integer as is_new
        )
        select (select count(*) from agreed) + (select coalesce(sum(is_new), 0) from differing) as changed
        """,
        {"ids": subscriber_ids, "names": names, "members": are_members, "simulated": are_simulated, "now": now},
    ).fetchone()
    assert changed is not None
    return int(changed["changed"])


def _touched(connection: Connection[DictRow], built_at: datetime) -> list[str]:
    """Whom events since the build name that were not there at the last call. Late events wait for the next build."""
    seen = connection.execute("select pg_current_snapshot()::text as seen").fetchone()
    before = connection.execute(
        "select seen::text as seen, pg_snapshot_xmin(seen)::text::bigint as oldest from raw.live_segment_progress "
        # a database that was restored elsewhere counts its transactions anew
        "where pg_snapshot_xmin(seen) <= pg_snapshot_xmax(pg_current_snapshot())"
    ).fetchone()
    assert seen is not None
    rows = connection.execute(
        """
        with fresh as (
            select distinct
                nullif(trim(user_id), '') as user_id, nullif(trim(anonymous_id), '') as anonymous_id,
                nullif(trim(device_id), '') as device_id
            from raw.events
            where loaded_xid >= %(oldest)s and occurred_at > %(built_at)s
                and pg_visible_in_snapshot(loaded_xid::text::xid8, %(seen)s::pg_snapshot)
                and not coalesce(pg_visible_in_snapshot(loaded_xid::text::xid8, %(before)s::pg_snapshot), false)
        )
        select distinct coalesce(
            identity.subscriber_of('user_id', user_id), identity.subscriber_of('anonymous_id', anonymous_id),
            identity.subscriber_of('device_id', device_id)
        ) as subscriber_id
        from fresh
        """,
        {
            "seen": seen["seen"],
            "before": None if before is None else before["seen"],
            "oldest": 0 if before is None else before["oldest"],
            "built_at": built_at,
        },
    ).fetchall()
    connection.execute(
        "insert into raw.live_segment_progress (seen) values (%s::pg_snapshot) "
        "on conflict (is_only) do update set seen = excluded.seen",
        (seen["seen"],),
    )
    return [str(row["subscriber_id"]) for row in rows if row["subscriber_id"] is not None]
