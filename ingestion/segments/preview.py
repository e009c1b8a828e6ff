"""How large a segment would be, and of whom, before it goes live: counted over the newest profiles, nothing stored.

In: a segment, declared or a draft in a file. Out: a `Preview`. One statement in a read-only transaction with a
time-out; ids are the only thing in it that belongs to anybody.
"""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, errors
from psycopg.rows import DictRow

from ingestion.segments.definitions import Definitions, Segment
from ingestion.segments.faults import SegmentError
from ingestion.segments.rendering import render
from ingestion.segments.sizes import read_built_at

_TIMEOUT_SECONDS = 60
_SAMPLE_SIZE = 5


@dataclass(frozen=True)
class Preview:
    """What a segment would hold.

    Attributes:
        as_of: the moment of the profiles that were counted.
        profile_count: all of them.
        matching_count: who meets the conditions, whatever they agreed to.
        without_consent_count: of these, who did not agree to the segment's purpose.
        outranked_count: of those who did, who is in a segment of the same exclusive group with a higher priority.
        member_count: who would be in it.
        entering_count: of these, who is not in it now.
        leaving_count: who is in it now and would not be.
        by_region: members by region.
        by_stage: members by lifecycle stage.
        overlaps: members who are in another live segment, by its name, largest first.
        sample_ids: some members' subscriber ids, the same ones each time.
    """

    as_of: datetime
    profile_count: int
    matching_count: int
    without_consent_count: int
    outranked_count: int
    member_count: int
    entering_count: int
    leaving_count: int
    by_region: dict[str, int]
    by_stage: dict[str, int]
    overlaps: dict[str, int]
    sample_ids: tuple[str, ...]


def preview_segment(connection: Connection[DictRow], definitions: Definitions, segment: Segment) -> Preview:
    """Count whom `segment` would hold beside the live segments, by the newest build's profiles.

    Raises:
        SegmentError: no build has been yet, or counting took longer than a minute.
    """
    with connection.transaction():
        connection.execute("set transaction read only")
        connection.execute(f"set local statement_timeout = '{_TIMEOUT_SECONDS}s'".encode())
        as_of = read_built_at(connection)
        if as_of is None:
            raise SegmentError("no profiles have been built yet; run `marquee run --once` first")
        try:
            row = connection.execute(_statement(definitions, segment, as_of).encode()).fetchone()
        except errors.QueryCanceled as error:
            raise SegmentError(
                f"{segment.name} could not be counted in {_TIMEOUT_SECONDS} seconds; shorten the window of its events"
            ) from error
    assert row is not None
    return Preview(as_of=as_of, **{**row, "overlaps": dict(row["overlaps"]), "sample_ids": tuple(row["sample_ids"])})


def _statement(definitions: Definitions, segment: Segment, as_of: datetime) -> str:
    rivals = [
        other
        for other in definitions.live
        if segment.group in definitions.exclusive_groups
        and other.group == segment.group
        and other.name != segment.name
        and (other.priority or 0) > (segment.priority or 0)
    ]
    rendered = render(definitions, [segment, *rivals], as_of)
    outranked = " or ".join(f"({rendered.reaches[rival.name]})" for rival in rivals) or "false"
    # the name came through the reading of a file: lower case letters, digits and _
    return f"""
with {rendered.sources},

judged as (

    select
        profiles.subscriber_id,
        profiles.region,
        profiles.lifecycle_stage,
        {rendered.conditions[segment.name]} as is_matching,
        profiles.is_permitted_{segment.purpose} as is_permitted,
        ({outranked}) as is_outranked,
        present.subscriber_id is not null as is_present
    from profiles
    cross join build
    left join event_counts on profiles.subscriber_id = event_counts.subscriber_id
    left join marts.fct_segment_memberships as present
        on profiles.subscriber_id = present.subscriber_id and present.segment = '{segment.name}'

),

settled as (

    select *, is_matching and is_permitted and not is_outranked as is_member
    from judged

),

shared as (

    select others.segment, count(*) as member_count
    from settled
    inner join marts.fct_segment_memberships as others using (subscriber_id)
    where settled.is_member and others.segment <> '{segment.name}'
    group by others.segment

)

select
    count(*) as profile_count,
    count(*) filter (where is_matching) as matching_count,
    count(*) filter (where is_matching and not is_permitted) as without_consent_count,
    count(*) filter (where is_matching and is_permitted and is_outranked) as outranked_count,
    count(*) filter (where is_member) as member_count,
    count(*) filter (where is_member and not is_present) as entering_count,
    count(*) filter (where is_present and not is_member) as leaving_count,
    (
        select coalesce(jsonb_object_agg(region, members order by region), '{{}}')
        from (select region, count(*) as members from settled where is_member group by region) as regions
    ) as by_region,
    (
        select coalesce(jsonb_object_agg(lifecycle_stage, members order by lifecycle_stage), '{{}}')
        from (select lifecycle_stage, count(*) as members from settled where is_member group by lifecycle_stage)
            as stages
    ) as by_stage,
    (
        select coalesce(jsonb_agg(jsonb_build_array(segment, member_count) order by member_count desc, segment), '[]')
        from shared
    ) as overlaps,
    array(
        select subscriber_id from settled where is_member order by md5(subscriber_id) limit {_SAMPLE_SIZE}
    ) as sample_ids
from settled
"""
