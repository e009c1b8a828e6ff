"""How large the live segments are, how they grew, and who stayed in one how long: what the warehouse's tables say.

In: a connection. Out: rows for the command line, oldest or first declared first.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow, class_row


@dataclass(frozen=True)
class Size:
    """A live segment's size at the newest build, and what a day changed."""

    segment: str
    member_count: int
    entered_count: int
    left_count: int
    evaluated_at: datetime


@dataclass(frozen=True)
class Trend:
    """What one build changed of a segment."""

    changed_at: datetime
    entered_count: int
    left_count: int
    member_count: int


@dataclass(frozen=True)
class Stay:
    """One stay of a subscriber in a segment."""

    segment: str
    entered_at: datetime
    left_at: datetime | None


def read_built_at(connection: Connection[DictRow]) -> datetime | None:
    """The moment for which segments were evaluated last; None before the first build."""
    if connection.execute("select to_regclass('marts.dim_segments') as found").fetchone() == {"found": None}:
        return None
    row = connection.execute("select max(evaluated_at) as built_at from marts.dim_segments").fetchone()
    moment = None if row is None else row["built_at"]
    return moment if isinstance(moment, datetime) else None


def read_sizes(connection: Connection[DictRow]) -> dict[str, Size]:
    """Sizes by segment; none before the first build."""
    if read_built_at(connection) is None:
        return {}
    with connection.cursor(row_factory=class_row(Size)) as cursor:
        rows = cursor.execute(
            "select segments.segment, segments.member_count, "
            "coalesce(sum(trends.entered_count), 0)::bigint as entered_count, "
            "coalesce(sum(trends.left_count), 0)::bigint as left_count, segments.evaluated_at "
            "from marts.dim_segments as segments left join marts.fct_segment_trends as trends "
            "on trends.segment = segments.segment and trends.changed_at <= segments.evaluated_at "
            "and trends.changed_at > segments.evaluated_at - %s "
            "group by segments.segment, segments.member_count, segments.evaluated_at",
            (timedelta(days=1),),
        ).fetchall()
    return {row.segment: row for row in rows}


def read_trends(connection: Connection[DictRow], segment: str, since: datetime) -> list[Trend]:
    """What builds changed of a segment since a moment, oldest first."""
    with connection.cursor(row_factory=class_row(Trend)) as cursor:
        return cursor.execute(
            "select changed_at, entered_count, left_count, member_count from marts.fct_segment_trends "
            "where segment = %s and changed_at >= %s order by changed_at",
            (segment, since),
        ).fetchall()


def read_every_trend(connection: Connection[DictRow]) -> dict[str, list[Trend]]:
    """What builds changed of each segment since it was first evaluated, oldest first."""
    trends: dict[str, list[Trend]] = {}
    for row in connection.execute(
        "select segment, changed_at, entered_count, left_count, member_count from marts.fct_segment_trends "
        "order by segment, changed_at"
    ):
        trends.setdefault(row.pop("segment"), []).append(Trend(**row))
    return trends


def read_overlaps(connection: Connection[DictRow]) -> dict[str, dict[str, int]]:
    """For each segment, how many of its members are in which other."""
    overlaps: dict[str, dict[str, int]] = {}
    for row in connection.execute(
        "select members.segment, others.segment as other, count(*) as member_count "
        "from marts.fct_segment_memberships as members inner join marts.fct_segment_memberships as others "
        "on members.subscriber_id = others.subscriber_id and members.segment <> others.segment group by 1, 2"
    ):
        overlaps.setdefault(row["segment"], {})[row["other"]] = row["member_count"]
    return overlaps


def read_stays(connection: Connection[DictRow], subscriber_id: str) -> list[Stay]:
    """A subscriber's stays in segments, oldest first."""
    with connection.cursor(row_factory=class_row(Stay)) as cursor:
        return cursor.execute(
            "select segment, entered_at, left_at from marts.fct_segment_history "
            "where subscriber_id = %s order by entered_at, segment",
            (subscriber_id,),
        ).fetchall()
