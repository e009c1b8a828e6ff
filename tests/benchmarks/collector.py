"""How many events one collector process makes durable, and how long a client waits, beside COPY alone.

Everything is real and on loopback: PostgreSQL with fsync on, the collector (uvicorn, one process), the load from
another process over keep-alive connections, in batches of 50, into tables that were emptied. The peer loads the very
rows that the collector has just stored, as ready COPY text, into the same two tables emptied again: once in one go, and
once with a commit each 50 rows, which is as durable as the collector's answers are. Both take turns, and a round in the
middle is what counts.
"""

import asyncio
import multiprocessing
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import orjson
import uvloop
from psycopg import Connection, Cursor
from psycopg.rows import DictRow
from rich.console import Console
from rich.table import Table

from ingestion.collector.service import serve
from ingestion.raw_tables import EVENTS
from marquee import database, embedded_postgres
from marquee.clock import utc_now
from marquee.settings import Settings
from tests.end_to_end.machine import free_port

LIMIT_RATE = 5_000
LIMIT_SHARE = 0.5
LIMIT_MS = 100.0
EVENT_COUNT = 100_000
BATCH = 50
# so many that the collector never waits for the next request: with 16 it did for a fifth of the time
CONNECTIONS = 64
STEADY_SECONDS = 10
ROUNDS = 3

_KEY = "marquee-local"
_USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36"


@dataclass(frozen=True)
class Load:
    """What the load generator saw: seconds from first to last answer, and milliseconds that each request waited."""

    seconds: float
    waits: list[float]
    failures: int

    @property
    def rate(self) -> float:
        """Events a second."""
        return len(self.waits) * BATCH / self.seconds

    def wait(self, percentile: int) -> float:
        return float(np.percentile(self.waits, percentile))


def main() -> bool:
    """Measure and print; True when every limit was kept."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="marquee-bench-") as folder:
        settings = Settings(var_dir=Path(folder) / "var", database_url=None, collector_port=free_port())
        embedded_postgres.start(settings)
        try:
            database.prepare(settings)
            server = multiprocessing.get_context("spawn").Process(target=serve, args=(settings,), daemon=True)
            server.start()
            try:
                return _measure(settings, console)
            finally:
                server.terminate()
                server.join(timeout=20)
        finally:
            embedded_postgres.stop(settings)


@dataclass(frozen=True)
class Round:
    """What one load as fast as it goes and its peers did, one after the other: events and rows a second."""

    load: Load
    bulk: float
    by_batch: float

    @property
    def share(self) -> float:
        return self.load.rate / self.bulk


def _measure(settings: Settings, console: Console) -> bool:
    _wait_until_ready(settings.collector_port)
    sent = stored = 0

    def measured(name: str, event_count: int, rate: float | None) -> Load:
        nonlocal sent, stored
        with console.status(name), database.connect(settings) as connection:
            _empty(connection)
            load = _load_from_another_process(settings, event_count // BATCH * BATCH, rate)
            row = connection.execute("select count(*) as stored from raw.events").fetchone()
        assert row is not None
        sent, stored = sent + BATCH * len(load.waits), stored + row["stored"]
        return load

    loads = [measured("warm-up", 5_000, None)]
    rounds = []
    for number in range(1, ROUNDS + 1):
        loads.append(measured(f"as fast as it goes, {number} of {ROUNDS}", EVENT_COUNT, None))
        with console.status(f"COPY alone, {number} of {ROUNDS}"):
            rounds.append(Round(loads[-1], *_copy_alone(settings)))
    # a round in the middle: the machine is not as fast in one second as in the next
    middle = sorted(rounds, key=lambda one: one.share)[len(rounds) // 2]
    rate = middle.load.rate
    wanted = measured(f"at {LIMIT_RATE // 2:,}/s", LIMIT_RATE // 2 * STEADY_SECONDS, LIMIT_RATE / 2)
    half = measured(f"at {rate / 2:,.0f}/s", int(rate / 2) * STEADY_SECONDS, rate / 2)
    loads += [wanted, half]
    table = Table("what", "events/s", "p50", "p99", title="collector: batches of 50, durable before the answer")
    shown = [(f"as fast as it goes, round {number}", one.load) for number, one in enumerate(rounds, start=1)]
    for name, load in [*shown, (f"at {LIMIT_RATE // 2:,}/s", wanted), (f"at {rate / 2:,.0f}/s", half)]:
        table.add_row(name, f"{load.rate:,.0f}", f"{load.wait(50):.1f} ms", f"{load.wait(99):.1f} ms")
    for number, one in enumerate(rounds, start=1):
        table.add_row(f"peer: COPY, a commit each {BATCH} rows, round {number}", f"{one.by_batch:,.0f}", "", "")
        table.add_row(f"peer: COPY in one go, round {number}", f"{one.bulk:,.0f}", "", "")
    console.print(table)
    failures = sum(load.failures for load in loads)
    shares = ", ".join(f"{one.share:.2f}" for one in rounds)
    limits = {
        f"{rate:,.0f} events/s, at least {LIMIT_RATE:,}": rate >= LIMIT_RATE,
        f"{middle.share:.2f} of COPY in one go (the middle of {shares}), at least {LIMIT_SHARE}": middle.share
        >= LIMIT_SHARE,
        f"p99 {wanted.wait(99):.1f} ms at {LIMIT_RATE // 2:,}/s, at most {LIMIT_MS:.0f} ms": wanted.wait(99)
        <= LIMIT_MS,
        f"sent {sent:,}, stored {stored:,}, refused requests {failures}": failures == 0 and stored == sent,
    }
    for limit, is_kept in limits.items():
        console.print(f"{'kept  ' if is_kept else 'MISSED'} {limit}")
    console.print(
        f"no limit: {rate / middle.by_batch:.2f} of COPY with a commit each {BATCH} rows, as durable as an answer is"
    )
    return all(limits.values())


def _copy_alone(settings: Settings) -> tuple[float, float]:
    """Rows a second of COPY into raw.events and raw.event_keys: in one go, and with a commit each batch."""
    with database.connect(settings) as connection:
        # what the collector fills; the table fills the rest
        columns = ", ".join(["source", *EVENTS.columns])
        with connection.cursor() as cursor:
            lines = _copied(cursor, f"copy (select {columns} from raw.events order by raw_id) to stdout")
            keys = _copied(cursor, "copy (select md5(message_id)::uuid from raw.events order by raw_id) to stdout")
        rates = []
        for size in (len(lines), BATCH):
            _empty(connection)
            started = time.perf_counter()
            for place in range(0, len(lines), size):
                _copy(connection, f"copy raw.events ({columns}) from stdin", lines[place : place + size])
                _copy(connection, "copy raw.event_keys (message_key) from stdin", keys[place : place + size])
                connection.commit()
            rates.append(len(lines) / (time.perf_counter() - started))
    return rates[0], rates[1]


def _empty(connection: Connection[DictRow]) -> None:
    connection.execute("truncate raw.events, raw.event_keys")
    connection.commit()


def _copied(cursor: Cursor[DictRow], statement: str) -> list[bytes]:
    with cursor.copy(statement) as copy:
        return b"".join(copy).splitlines(keepends=True)


def _copy(connection: Connection[DictRow], statement: str, lines: list[bytes]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(b"".join(lines))


def _load_from_another_process(settings: Settings, event_count: int, rate: float | None) -> Load:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_run_load, (settings.collector_port, event_count, rate))


def _run_load(port: int, event_count: int, rate: float | None) -> Load:
    requests = [_request(number) for number in range(event_count // BATCH)]
    # the two cores are shared: what the load itself takes is kept small
    return uvloop.run(_send_all(port, requests, rate))


async def _send_all(port: int, requests: list[bytes], rate: float | None) -> Load:
    """As fast as the answers come, or at `rate` events a second whether they come or not."""
    waits: list[float] = []
    failures = 0
    places = iter(range(len(requests)))
    started = time.perf_counter()

    async def work() -> None:
        nonlocal failures
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for place in places:
            due = time.perf_counter()
            if rate is not None:
                # from when it should have been sent: a stall counts for all that it holds up
                due = started + place * BATCH / rate
                await asyncio.sleep(due - time.perf_counter())
            writer.write(requests[place])
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            failures += not head.startswith(b"HTTP/1.1 200")
            waits.append(1_000 * (time.perf_counter() - due))
        writer.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return Load(time.perf_counter() - started, waits, failures)


def _request(number: int) -> bytes:
    sent_at = utc_now().isoformat()
    body = orjson.dumps({"batch": [_event(sent_at) for _ in range(BATCH)], "sentAt": sent_at, "writeKey": _KEY})
    return (
        b"POST /v1/batch HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"user-agent: load\r\ncontent-length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )


_random = np.random.default_rng(7)


def _event(sent_at: str) -> dict[str, object]:
    """A progress call of a video player in a browser, as @segment/analytics-next makes one."""
    subscriber, content = _random.integers(0, 100_000), _random.integers(0, 2_000)
    position = int(_random.integers(0, 6_000))
    return {
        "messageId": f"ajs-next-{uuid.uuid4()}",
        "type": "track",
        "event": "Video Content Playing",
        "userId": f"user-{subscriber}",
        "anonymousId": f"{subscriber:032x}",
        "timestamp": sent_at,
        "properties": {
            "content_id": f"movie-{content}",
            "session_id": f"session-{subscriber}",
            "position": position,
            "total_length": 6_000,
            "full_screen": True,
            "sound": 80,
            "quality": "hd1080",
        },
        "context": {
            "library": {"name": "analytics.js", "version": "npm:next-1.84.3"},
            "userAgent": _USER_AGENT,
            "locale": "en-GB",
            "timezone": "Europe/Berlin",
            "page": {"path": f"/watch/{content}", "url": f"https://media.example/watch/{content}", "title": "Watch"},
            "device": {"id": f"device-{subscriber}", "type": "web"},
            "consent": {"categoryPreferences": {"personalization": True, "analytics": True, "advertising": False}},
        },
    }


def _wait_until_ready(port: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"the collector was not ready within {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
