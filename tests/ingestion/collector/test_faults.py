"""What must not go wrong when everything else does: nothing acknowledged is lost, nothing is stored twice."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from marquee import database, embedded_postgres
from marquee.settings import Settings
from tests.ingestion.collector.conftest import Post
from tests.ingestion.collector.load import Load
from tests.ingestion.collector.running import LiveCollector, batch_of, environment_of, watched
from tests.waiting import wait_until

_ENOUGH = 1_000


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A database server of this module's own, with fsync on."""
    settings = Settings(var_dir=tmp_path_factory.mktemp("own"), postgres_shared_buffers="64MB", database_url=None)
    database.prepare(settings)
    yield settings
    embedded_postgres.stop(settings)


@pytest.fixture(scope="module")
def module_collector(own: Settings) -> Iterator[LiveCollector]:
    live = LiveCollector(own.var_dir, {})
    yield live
    live.stop()


@pytest.fixture
def collector(module_collector: LiveCollector) -> LiveCollector:
    """A collector on the module's own server, whatever the test before has done to it."""
    if module_collector.process is None or module_collector.process.poll() is not None:
        module_collector.start()
    return module_collector


def test_a_collector_that_is_killed_under_load_loses_and_doubles_nothing(
    own: Settings, collector: LiveCollector
) -> None:
    load = Load(collector).start()
    try:
        for kill in (1, 2):
            wait_until(lambda enough=kill * _ENOUGH: len(load.acknowledged) > enough, 30, "the load")
            collector.kill_9()
            collector.start()
    finally:
        load.stop()
    assert load.lost_connections
    _check_stored_once(own, load)


@pytest.mark.parametrize("fault", ["restart", "kill -9"])
def test_a_database_that_goes_away_under_load_loses_and_doubles_nothing(
    own: Settings, collector: LiveCollector, fault: str
) -> None:
    load = Load(collector).start()
    try:
        wait_until(lambda: len(load.acknowledged) > _ENOUGH, 30, "the load")
        if fault == "restart":
            embedded_postgres.stop(own)
        else:
            _kill_server(own)
        wait_until(lambda: bool(load.refusals), 30, "the first refusal")
        assert httpx.get(f"{collector.url}/ready").status_code == 503
        assert httpx.get(f"{collector.url}/health").status_code == 200
        embedded_postgres.start(own)
        before = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > before + _ENOUGH, 30, "the load after the fault")
    finally:
        load.stop()
    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in load.refusals} == {(503, "2")}
    assert not load.lost_connections
    _check_stored_once(own, load)


def test_a_full_queue_is_a_429_and_memory_stays_where_it_was(settings: Settings) -> None:
    with database.connect(settings) as blocker:
        collector = LiveCollector(
            settings.var_dir, {**environment_of(settings), "MARQUEE_COLLECTOR_WAITING_MEGABYTES": "4"}
        ).start()
        try:
            process = psutil.Process(collector.process.pid if collector.process else 0)
            collector.post("/v1/batch", batch_of([watched("warm")]))
            before = process.memory_info().rss
            blocker.execute("lock table raw.events in access exclusive mode")
            note = {"content_id": "c-1", "note": "x" * 2_000}
            bodies = [
                batch_of(watched(f"full-{number}-{place}", properties=note) for place in range(150))
                for number in range(40)
            ]

            def send(body: object) -> httpx.Response:
                return collector.post("/v1/batch", body)

            with ThreadPoolExecutor(max_workers=40) as senders:
                answers = [senders.submit(send, body) for body in bodies]
                wait_until(lambda: sum(answer.done() for answer in answers) > 30, 30, "the refusals")
                grown = process.memory_info().rss - before
                blocker.rollback()
                statuses = [answer.result().status_code for answer in answers]
                refused = [answer.result() for answer in answers if answer.result().status_code == 429]
            assert set(statuses) == {200, 429}
            assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
            # 14 MB came, and as objects they would be several times that
            assert grown < 12_000_000
            assert all(send(body).status_code == 200 for body in bodies)
            row = blocker.execute("select count(*) as stored from raw.events where message_id like 'full-%'").fetchone()
            assert row == {"stored": 40 * 150}
        finally:
            collector.stop()


def test_what_the_database_refuses_is_set_aside_and_its_neighbours_are_stored(post: Post) -> None:
    with database.connect(post.settings) as connection:
        connection.execute("alter table raw.events add constraint no_poison check (user_id <> 'poison') not valid")
    try:
        calls = [watched(f"neighbour-{place}") for place in range(7)]
        calls.insert(3, watched("poison", userId="poison"))
        for _ in range(2):
            assert post.collector.post("/v1/batch", batch_of(calls)).status_code == 200
    finally:
        with database.connect(post.settings) as connection:
            connection.execute("alter table raw.events drop constraint no_poison")
    assert len(post.events("poison", *(f"neighbour-{place}" for place in range(7)))) == 7
    (aside,) = post.query("select reason, payload from raw.quarantined_events where message_id = 'poison'")
    assert "the database refused it" in aside["reason"]
    assert aside["payload"]["userId"] == "poison"


def test_a_connection_that_ended_while_nothing_came_costs_no_request(post: Post) -> None:
    post.collector.post("/v1/batch", batch_of([watched("before-the-cut")]))
    post.query(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()"
    )
    assert post.collector.post("/v1/batch", batch_of([watched("after-the-cut")])).status_code == 200
    assert post.events("after-the-cut")


def test_what_waits_is_stored_when_the_collector_is_told_to_end(own: Settings, collector: LiveCollector) -> None:
    with database.connect(own) as blocker, ThreadPoolExecutor(max_workers=1) as sender:
        blocker.execute("lock table raw.events in access exclusive mode")
        answer = sender.submit(collector.post, "/v1/batch", batch_of([watched("at-the-end")]))
        with database.connect(own) as watcher:
            watcher.autocommit = True
            wait_until(
                lambda: bool(watcher.execute("select from pg_locks where not granted limit 1").fetchall()),
                10,
                "the writer's waiting",
            )
        assert collector.process is not None
        collector.process.send_signal(signal.SIGTERM)
        blocker.rollback()
        assert answer.result().status_code == 200
        assert blocker.execute("select from raw.events where message_id = 'at-the-end'").fetchall()


def _check_stored_once(own: Settings, load: Load) -> None:
    with database.connect(own) as connection:
        rows = connection.execute("select message_id from raw.events").fetchall()
    stored = [row["message_id"] for row in rows]
    assert len(stored) == len(set(stored))
    assert load.acknowledged <= set(stored)


def _kill_server(own: Settings) -> None:
    postmaster = int((own.postgres_dir / "postmaster.pid").read_text().splitlines()[0])
    children = psutil.Process(postmaster).children()
    psutil.Process(postmaster).kill()
    psutil.wait_procs(children, timeout=20)
