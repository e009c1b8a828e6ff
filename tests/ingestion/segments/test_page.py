"""The page of the segments: sizes, what came and went, overlap, and a group whose rule is broken."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, expect
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.segments.page import PAGE, weeks, write_segments_page
from ingestion.segments.sizes import Trend
from marquee.settings import Settings

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

# what a build leaves, for the live segments at_risk, active (exclusive), and one that is in no group
_BUILT = """
create schema marts;
create table marts.dim_subscribers as select n::text as subscriber_id from generate_series(1, 200) as n;
create table marts.dim_segments (
    segment text, title text, description text, owner text, kind text, consent_purpose text, segment_group text,
    priority integer, is_exclusive boolean, member_count bigint, evaluated_at timestamptz
);
insert into marts.dim_segments values
    ('active', 'Active', 'Who come back.', 'data_engineering', 'analysis', 'personalization', 'lifecycle', 4, true, 50,
        '2026-11-24 12:00Z'),
    ('at_risk', 'At risk', 'Who stay out.', 'data_engineering', 'analysis', 'personalization', 'lifecycle', 5, true, 20,
        '2026-11-24 12:00Z'),
    ('night_owls', 'Night <owls>', 'Who watch late.', 'marketing', 'audience', 'advertising', null, null, false, 10,
        '2026-11-24 12:00Z');
create table marts.fct_segment_memberships as
    select n::text as subscriber_id, 'active' as segment, true as is_simulated from generate_series(1, 50) as n
    union all select n::text, 'at_risk', true from generate_series(51, 70) as n
    union all select n::text, 'night_owls', true from generate_series(44, 53) as n;
create table marts.fct_segment_trends (
    segment text, changed_at timestamptz, entered_count bigint, left_count bigint, member_count bigint
);
insert into marts.fct_segment_trends values
    ('active', '2026-10-27 12:00Z', 40, 0, 40), ('active', '2026-11-12 12:00Z', 12, 1, 51),
    ('active', '2026-11-24 12:00Z', 1, 2, 50), ('at_risk', '2026-11-24 12:00Z', 20, 0, 20);
"""


@pytest.fixture
def built(warehouse: Connection[DictRow]) -> Connection[DictRow]:
    warehouse.execute(_BUILT.encode())
    warehouse.commit()
    return warehouse


def test_a_week_counts_what_its_builds_changed_and_the_plot_fits_the_most() -> None:
    changes = [(0, 1, 2), (6, 3, 0), (7, 5, 10), (55, 4, 0), (56, 100, 100), (-1, 100, 100)]
    trends = [Trend(NOW - timedelta(days=days), entered, left, 0) for days, entered, left in changes]
    shown = weeks(trends, NOW)
    assert [(week.entered_count, week.left_count) for week in shown] == [(4, 0), *[(0, 0)] * 5, (5, 10), (4, 2)]
    assert [week.place for week in shown] == sorted(week.place for week in shown)
    assert max(week.left_height for week in shown) == shown[-2].left_height == 2 * shown[-2].entered_height


def test_before_the_first_build_the_page_says_what_to_do(settings: Settings) -> None:
    page = write_segments_page(settings).read_text()
    assert "No build has evaluated segments yet" in page
    assert "declared since the newest build" in page


@pytest.mark.browser
def test_the_page_shows_each_segment_as_the_build_found_it(
    settings: Settings, built: Connection[DictRow], browser: Browser
) -> None:
    path = write_segments_page(settings)
    assert path == settings.reports_dir / PAGE
    for width in (1280, 390):
        page = browser.new_page(viewport={"width": width, "height": 900})
        requests: list[str] = []
        page.on("request", lambda request, seen=requests: seen.append(request.url))
        page.goto(path.as_uri())
        expect(page.get_by_text("Simulated data.")).to_be_visible()
        expect(page.get_by_text("exclusive: nobody is in two")).to_have_count(1)
        rows = page.get_by_role("row")
        active = rows.filter(has=page.get_by_text("active", exact=True))
        for words in ("50", "25 %", "+13", "−3", "Night <owls>", "14 %", "personalization", "data engineering"):
            expect(active).to_contain_text(words)
        expect(active.get_by_role("img")).to_have_accessible_name(
            "Active, week by week: 0 in and 0 out, 0 in and 0 out, 0 in and 0 out, 0 in and 0 out, 0 in and 0 out, "
            "0 in and 0 out, 12 in and 1 out, 1 in and 2 out"
        )
        owls = rows.filter(has=page.get_by_text("night_owls", exact=True))
        for words in ("70 % Active", "30 % At risk", "advertising", "marketing"):
            expect(owls).to_contain_text(words)
        # tables scroll in their own frames, the page does not
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert requests == [path.as_uri()]
        page.close()


def test_a_group_whose_rule_is_broken_says_so(settings: Settings, built: Connection[DictRow]) -> None:
    built.execute("insert into marts.fct_segment_memberships values ('1', 'at_risk', false), ('2', 'at_risk', false)")
    built.commit()
    page = write_segments_page(settings).read_text()
    assert "exclusive, and 2 people are in two" in page
    assert "nobody is in two" not in page
