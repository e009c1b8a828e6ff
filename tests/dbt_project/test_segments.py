"""Segments in a built house: members, history, sizes, previews, and the live path between two builds."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
import yaml
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from ingestion import sources
from ingestion.envelope import sample, simulation
from ingestion.identity.resolving import catch_up, subscriber_of
from ingestion.live_profiles import follow
from ingestion.segments.definitions import SEGMENTS_FILE, load_draft, load_segments
from ingestion.segments.live import evaluate, follow_events, live_segments, settle
from ingestion.segments.live_profiles import LIVE_FIELDS, read_live_profiles
from ingestion.segments.preview import preview_segment
from ingestion.segments.sizes import read_sizes, read_stays, read_trends
from marquee import database
from marquee.clock import utc_now
from marquee.settings import Settings
from tests.dbt_project.standing_dbt import standing_dbt
from tests.waiting import wait_until

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=6)

_HOUSE = ["build", "--exclude-resource-type", "test", "unit_test", "--select", "+fct_segment_memberships_live",
          "+dim_subscribers", "+fct_segment_history", "+fct_segment_trends"]  # fmt: skip
_SEGMENTS = ["run", "--select", "int_subscribers_profiled", "dim_subscribers", "int_segments_evaluated",
             "fct_segment_changes", "fct_segment_memberships"]  # fmt: skip


@pytest.fixture(scope="module")
def story(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A house that is built, lives for some hours, is built again, again for the same moment, and for a past one."""
    settings = Settings(var_dir=tmp_path_factory.mktemp("house"), database_url=SecretStr(make_database()))
    frames = sample.sample_interactions(user_count=60, item_count=60, seed=3)
    simulation.generate(frames.interactions, frames.items, frames.users, NOW, settings.seed, settings)
    for source in sources.SOURCES:
        sources.ingest_source(source, "test", NOW, settings)
    told = SimpleNamespace(settings=settings)
    with standing_dbt(settings) as dbt, database.connect(settings) as connection:
        dbt.run(_HOUSE, NOW)
        told.built = _members(connection)
        told.fields = _live_and_nightly(connection, NOW)
        told.judged_anew = evaluate(connection, _subscribers(connection), NOW)
        _live(connection, told)
        connection.commit()
        dbt.run(_HOUSE, LATER)
        told.live_rows_before_settling = _count(connection, "raw.live_segment_memberships")
        settle(connection, LATER)
        told.live_rows = _count(connection, "raw.live_segment_memberships")
        told.judged_after_build = evaluate(connection, _subscribers(connection), LATER)
        told.members = _members(connection)
        told.log = _log(connection)
        connection.commit()
        dbt.run([*_SEGMENTS, "--full-refresh"], LATER)
        told.log_after_rerun, told.members_after_rerun = _log(connection), _members(connection)
        connection.commit()
        dbt.run(_SEGMENTS, NOW)
        told.log_after_past, told.members_after_past = _log(connection), _members(connection)
        connection.commit()
        dbt.run(_SEGMENTS, LATER)
    return told


@pytest.fixture
def house(story: SimpleNamespace) -> Iterator[Connection[DictRow]]:
    with database.connect(story.settings) as connection:
        yield connection


def _live(connection: Connection[DictRow], told: SimpleNamespace) -> None:
    """Two people do something that puts them into a segment, and one something that takes them out of another."""
    segments = {(row["segment"], row["subscriber_id"]) for row in told.built}
    told.searcher = next(one for name, one in sorted(segments) if name == "searching")
    allowed = {row["subscriber_id"] for row in connection.execute(
        "select subscriber_id from intermediate.int_consents_current where purpose = 'personalization' and is_permitted"
    )}  # fmt: skip
    told.reader = min(
        row["subscriber_id"]
        for row in connection.execute("select subscriber_id from marts.dim_subscribers where user_id is not null")
        if row["subscriber_id"] in allowed and ("recent_reader", row["subscriber_id"]) not in segments
    )
    users = {row["subscriber_id"]: row["user_id"] for row in connection.execute(
        "select subscriber_id, user_id from marts.dim_subscribers"
    )}  # fmt: skip
    content = connection.execute("select content_id from marts.dim_content where content_type = 'article'").fetchone()
    assert content is not None
    follow_events(connection, NOW)
    connection.commit()
    # read before anybody knew whose browser it is
    for number in range(3):
        _happens(connection, f"read {number}", "Article Read", anonymous_id="new browser", **content)
    _happens(connection, "watched", "Video Playback Completed", user_id=users[told.searcher])
    connection.commit()
    catch_up(connection, NOW + timedelta(hours=1))
    told.changed_unknown = follow_events(connection, NOW + timedelta(hours=1))
    told.unknown = subscriber_of(connection, "anonymous_id", "new browser")
    told.while_unknown = _visible(connection)
    _happens(connection, "signed in", None, "identify", anonymous_id="new browser", user_id=users[told.reader])
    connection.commit()
    catch_up(connection, NOW + timedelta(hours=2))
    told.changed_known = follow_events(connection, NOW + timedelta(hours=2))
    told.reader = subscriber_of(connection, "user_id", users[told.reader])
    told.while_known = _visible(connection)
    told.nothing_new = follow_events(connection, NOW + timedelta(hours=2))


def _happens(
    connection: Connection[DictRow], message_id: str, event: str | None, event_type: str = "track", **columns: object
) -> None:
    moment = NOW + timedelta(minutes=30)
    row = {"source": "live", "message_id": message_id, "event_type": event_type, "event": event, "device_type": "web",
           "properties": Jsonb({}), "occurred_at": moment, "is_simulated": True, **columns}  # fmt: skip
    connection.execute(
        f"insert into raw.events ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})".encode(), [*row.values()]
    )


def _rows(connection: Connection[DictRow], query: str) -> list[DictRow]:
    return connection.execute(query.encode()).fetchall()


def _members(connection: Connection[DictRow]) -> list[DictRow]:
    return _rows(connection, "select * from marts.fct_segment_memberships order by subscriber_id, segment")


def _log(connection: Connection[DictRow]) -> list[DictRow]:
    return _rows(connection, "select * from marts.fct_segment_changes order by subscriber_id, segment, change_number")


def _visible(connection: Connection[DictRow]) -> set[tuple[str, str]]:
    rows = _rows(connection, "select subscriber_id, segment from marts.fct_segment_memberships_live")
    return {(row["subscriber_id"], row["segment"]) for row in rows}


def _subscribers(connection: Connection[DictRow]) -> list[str]:
    return [row["subscriber_id"] for row in _rows(connection, "select subscriber_id from marts.dim_subscribers")]


def _count(connection: Connection[DictRow], table: str) -> int:
    return int(_rows(connection, f"select count(*) as rows from {table}")[0]["rows"])


def _live_and_nightly(connection: Connection[DictRow], now: datetime) -> list[tuple[object, object]]:
    nightly = {row["subscriber_id"]: row for row in _rows(connection, "select * from marts.dim_subscribers")}
    profiles = read_live_profiles(connection, list(nightly), [], now, now)
    return [(dict(one.fields), {name: nightly[one.subscriber_id][name] for name in LIVE_FIELDS}) for one in profiles]


def test_the_live_path_sees_the_profiles_that_the_build_sees(story: SimpleNamespace) -> None:
    assert len(story.fields) > 60
    assert all(live == nightly for live, nightly in story.fields)
    assert len(live_segments(load_segments())) >= 5
    assert story.judged_anew == 0


def test_what_happens_is_visible_at_once_and_follows_the_person_who_signs_in(story: SimpleNamespace) -> None:
    assert story.changed_unknown >= 1
    assert (story.searcher, "searching") not in story.while_unknown
    # nobody knows yet what the visitor agreed to
    assert (story.unknown, "recent_reader") not in story.while_unknown
    assert (story.reader, "recent_reader") in story.while_known
    assert story.changed_known == 1
    assert story.nothing_new == 0


def test_the_service_of_the_live_path_shows_a_membership_within_seconds(
    story: SimpleNamespace, house: Connection[DictRow]
) -> None:
    user = _rows(house, "select user_id from raw.events where message_id = 'signed in'")[0]["user_id"]
    now, ending = utc_now(), threading.Event()
    follower = threading.Thread(target=follow, args=(story.settings, ending))
    follower.start()
    try:
        _happens(house, "searched", "Content Searched", user_id=user, occurred_at=now - timedelta(seconds=1))
        house.execute("notify events_arrived")
        house.commit()
        wait_until(lambda: (story.reader, "searching") in _visible(house), 20, "the membership")
        assert utc_now() - now < timedelta(seconds=10)
    finally:
        ending.set()
        house.rollback()
        house.execute("notify events_arrived")
        house.commit()
        follower.join(timeout=30)
    assert not follower.is_alive()


def test_the_next_build_finds_what_the_live_path_said_and_takes_it_over(story: SimpleNamespace) -> None:
    assert story.live_rows_before_settling > 0
    assert story.live_rows == 0
    assert story.judged_after_build == 0
    members = {(row["subscriber_id"], row["segment"]): row["since"] for row in story.members}
    assert members[story.reader, "recent_reader"] == LATER
    assert (story.searcher, "searching") not in members


def test_the_log_says_which_build_saw_whom_come_and_go(story: SimpleNamespace, house: Connection[DictRow]) -> None:
    later = {(row["subscriber_id"], row["segment"], row["change"]) for row in story.log if row["changed_at"] == LATER}
    assert (story.reader, "recent_reader", "entered") in later
    assert (story.searcher, "searching", "left") in later
    stays = {stay.segment: stay for stay in read_stays(house, story.searcher)}
    assert (stays["searching"].entered_at, stays["searching"].left_at) == (NOW, LATER)
    trends = read_trends(house, "searching", NOW - timedelta(days=1))
    assert trends[-1].member_count == read_sizes(house)["searching"].member_count
    # whoever stayed is still there since the first build
    first = {(row["subscriber_id"], row["segment"]) for row in story.built}
    stayed = [row for row in story.members if (row["subscriber_id"], row["segment"]) in first]
    assert len(stayed) > 50
    assert {row["since"] for row in stayed} == {NOW}


def test_neither_a_rebuild_nor_a_past_moment_touches_the_log(story: SimpleNamespace) -> None:
    assert story.log_after_rerun == story.log == story.log_after_past
    assert story.members_after_rerun == story.members
    assert (story.searcher, "searching") not in {(row["subscriber_id"], row["segment"]) for row in story.members}
    assert all(row["since"] == NOW for row in story.members_after_past)


def test_members_agreed_to_what_their_segment_is_for(house: Connection[DictRow]) -> None:
    wrong = _rows(
        house,
        "select count(*) as members, count(*) filter (where not coalesce(consents.is_permitted, false)) as wrong, "
        "count(distinct segments.consent_purpose) as purposes from marts.fct_segment_memberships as members "
        "inner join marts.dim_segments as segments using (segment) left join intermediate.int_consents_current "
        "as consents on consents.subscriber_id = members.subscriber_id "
        "and consents.purpose = segments.consent_purpose",
    )[0]
    assert wrong["wrong"] == 0
    assert wrong["members"] > 100
    assert wrong["purposes"] >= 2


def test_nobody_is_in_two_segments_of_an_exclusive_group(house: Connection[DictRow]) -> None:
    double = _rows(
        house,
        "select subscriber_id from marts.fct_segment_memberships inner join marts.dim_segments using (segment) "
        "where is_exclusive group by subscriber_id, segment_group having count(*) > 1",
    )
    assert double == []


def test_a_profile_lists_its_segments(house: Connection[DictRow]) -> None:
    rows = _rows(
        house,
        "select segments, lifecycle_stage, top_genre from marts.dim_subscribers where has_personalization_consent",
    )
    assert len(rows) > 20
    for row in rows:
        assert row["lifecycle_stage"] in row["segments"]
        assert row["top_genre"] is None or f"likes_{row['top_genre']}" in row["segments"]


def test_a_preview_of_a_live_segment_is_its_present_members(house: Connection[DictRow]) -> None:
    definitions = load_segments()
    for name in ("win_back_email", "recent_reader", "lapsed"):
        shown = preview_segment(house, definitions, definitions.find(name))
        assert shown.member_count == read_sizes(house)[name].member_count
        assert shown.entering_count == shown.leaving_count == 0
        assert shown.matching_count == shown.member_count + shown.without_consent_count + shown.outranked_count
        assert sum(shown.by_region.values()) == sum(shown.by_stage.values()) == shown.member_count
        assert len(shown.sample_ids) == min(5, shown.member_count)


def test_a_draft_is_counted_beside_the_live_segments(house: Connection[DictRow], tmp_path: Path) -> None:
    draft = tmp_path / "draft.yml"
    entry = {"name": "everyone", "title": "Everyone", "description": "All with an address.", "owner": "marketing",
             "kind": "message", "status": "draft", "group": "email_journey", "priority": 1,
             "conditions": {"field": "is_known", "is": True}}  # fmt: skip
    draft.write_text(yaml.safe_dump(entry))
    definitions = load_segments()
    shown = preview_segment(house, definitions, load_draft(draft, definitions))
    journeys = sum(read_sizes(house)[name].member_count for name in ("win_back_email", "renewal_email"))
    assert shown.outranked_count == journeys > 0
    assert shown.entering_count == shown.member_count > 0
    assert not {"win_back_email", "renewal_email"} & set(shown.overlaps)
    assert shown.without_consent_count > 0


def test_a_preview_cannot_write(house: Connection[DictRow], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ingestion.segments.preview._statement", lambda *_: "delete from marts.fct_segment_memberships returning 1"
    )
    definitions = load_segments()
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        preview_segment(house, definitions, definitions.find("lapsed"))


def test_every_genre_of_the_project_has_its_segment() -> None:
    project = yaml.safe_load((SEGMENTS_FILE.parents[2] / "dbt_project.yml").read_text())
    names = {segment.name for segment in load_segments().segments}
    assert {f"likes_{genre}" for genre in project["vars"]["genres"]} <= names
