"""The segments as a page among the reports, for those who choose whom to write to.

In: the declared segments, and what the newest build found. Out: `segments.html` in the reports folder: each live
segment with its size, consent purpose, entries and exits week by week, and what else its members are in. Counts only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.report_pages import write_report
from ingestion.segments.definitions import load_segments
from ingestion.segments.sizes import Trend, read_built_at, read_every_trend, read_overlaps
from marquee.database import connect
from marquee.settings import Settings

PAGE = "segments.html"

_WEEKS = 8
_SHOWN_OVERLAPS = 3
# of the plot, in pixels: a week's place and its bar, and how far a bar may reach to either side
_STEP, _BAR, _REACH = 15, 11, 20
_NO_FACTS: DictRow = {"profile_count": 0, "placed_count": 0, "is_simulated": False}


@dataclass(frozen=True)
class Week:
    """Who came and went in the seven days before `ended_at`. `place` and the heights are the plot's, in pixels."""

    ended_at: datetime
    entered_count: int
    left_count: int
    place: int
    entered_height: float
    left_height: float


@dataclass(frozen=True)
class Overlap:
    """Another segment, and the share of this one's members who are in it, too."""

    title: str
    share: float


@dataclass(frozen=True)
class ShownSegment:
    """A live segment as the newest build found it.

    Attributes:
        share: of all profiles.
        began: its first members, who are no entries: nobody had looked before.
        weeks: the oldest first; none before a second build.
    """

    name: str
    title: str
    description: str
    owner: str
    kind: str
    purpose: str
    priority: int | None
    member_count: int
    share: float
    began: Trend | None
    weeks: tuple[Week, ...]
    overlaps: tuple[Overlap, ...]

    @property
    def entered_count(self) -> int:
        return sum(week.entered_count for week in self.weeks)

    @property
    def left_count(self) -> int:
        return sum(week.left_count for week in self.weeks)


@dataclass(frozen=True)
class ShownGroup:
    """Segments that belong together. `doubled_count` is how many people are in two of them."""

    title: str
    is_exclusive: bool
    doubled_count: int
    segments: tuple[ShownSegment, ...]


def write_segments_page(settings: Settings) -> Path:
    """Draw the page from the newest build, and say where it lies."""
    definitions = load_segments()
    with connect(settings) as connection:
        evaluated_at = read_built_at(connection)
        rows = [] if evaluated_at is None else _read(connection, "select * from marts.dim_segments")
        facts = _NO_FACTS if evaluated_at is None else _read(connection, _FACTS)[0]
        groups = [] if evaluated_at is None else _groups(connection, rows, facts["profile_count"], evaluated_at)
    built = {row["segment"] for row in rows}
    return write_report(
        PAGE,
        Path(__file__).with_name("page.html"),
        settings,
        {"count": "{:,}".format, "share": _share, "words": lambda name: name.replace("_", " ")},
        evaluated_at=evaluated_at,
        facts=facts,
        groups=groups,
        segment_count=len(rows),
        waiting=[one for one in definitions.segments if one.name not in built],
        week_count=_WEEKS,
        plot={"width": _WEEKS * _STEP, "height": 2 * _REACH + 1, "bar": _BAR, "axis": _REACH},
    )


_FACTS = """
select
    (select count(*) from marts.dim_subscribers) as profile_count,
    count(distinct subscriber_id) as placed_count,
    coalesce(bool_or(is_simulated), false) as is_simulated
from marts.fct_segment_memberships
"""
_DOUBLED = """
select segment_group, count(*) as doubled_count
from (
    select segments.segment_group, members.subscriber_id
    from marts.fct_segment_memberships as members inner join marts.dim_segments as segments using (segment)
    where segments.segment_group is not null
    group by segments.segment_group, members.subscriber_id
    having count(*) > 1
) as doubled
group by segment_group
"""


def _groups(
    connection: Connection[DictRow], rows: Sequence[DictRow], profile_count: int, evaluated_at: datetime
) -> list[ShownGroup]:
    """Groups in the order of the file, then the segments that are in none."""
    definitions = load_segments()
    trends, overlaps = read_every_trend(connection), read_overlaps(connection)
    build_count = len({trend.changed_at for of_segment in trends.values() for trend in of_segment})
    titles = {row["segment"]: row["title"] for row in rows}
    doubled = {row["segment_group"]: row["doubled_count"] for row in _read(connection, _DOUBLED)}
    by_group: dict[str | None, list[ShownSegment]] = {}
    for row in rows:
        of_segment = trends.get(row["segment"], [])
        shared = [
            Overlap(titles[other], count / row["member_count"])
            for other, count in overlaps.get(row["segment"], {}).items()
            if other in titles
        ]
        shown = ShownSegment(
            row["segment"], row["title"], row["description"], row["owner"], row["kind"], row["consent_purpose"],
            row["priority"], row["member_count"], row["member_count"] / max(profile_count, 1),
            of_segment[0] if of_segment else None, weeks(of_segment[1:], evaluated_at) if build_count > 1 else (),
            tuple(sorted(shared, key=lambda one: (-one.share, one.title))[:_SHOWN_OVERLAPS]),
        )  # fmt: skip
        by_group.setdefault(row["segment_group"], []).append(shown)
    headed = [(group.name, group.title, group.is_exclusive) for group in definitions.groups]
    return [
        ShownGroup(
            title,
            is_exclusive,
            doubled.get(name, 0),
            tuple(sorted(by_group[name], key=lambda one: (-one.member_count, one.title))),
        )
        for name, title, is_exclusive in (*headed, (None, "On their own", False))
        if name in by_group
    ]


def weeks(trends: Sequence[Trend], until: datetime) -> tuple[Week, ...]:
    """What builds changed in each of the last weeks before `until`, the oldest first."""
    entered, left = [0] * _WEEKS, [0] * _WEEKS
    for trend in trends:
        age = (until - trend.changed_at) // timedelta(weeks=1)
        if 0 <= age < _WEEKS:
            entered[age] += trend.entered_count
            left[age] += trend.left_count
    most = max(*entered, *left, 1)
    return tuple(
        Week(
            until - timedelta(weeks=age), entered[age], left[age], (_WEEKS - 1 - age) * _STEP,
            _height(entered[age], most), _height(left[age], most),
        )
        for age in reversed(range(_WEEKS))
    )  # fmt: skip


def _height(count: int, most: int) -> float:
    # one of many is still seen
    return max(1.5, _REACH * count / most) if count else 0


def _share(value: float) -> str:
    return "under 1 %" if 0 < value < 0.01 else f"{value:.0%}".replace("%", " %")


def _read(connection: Connection[DictRow], query: str) -> list[DictRow]:
    return connection.execute(query.encode()).fetchall()
