"""How long one client waits for a personal list and for the homepage, beside the limit of 50 ms at the 99th percentile
and beside Feast's own online read of the same subscriber's features, without anything around it.

It makes a world of its own: 2,000 contents, 1,000 subscribers with 100 interactions each, a model with embeddings of
64 and random weights; PostgreSQL, Feast and the app (uvicorn, a process of its own) are the real ones.
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from rich.console import Console
from rich.table import Table

from activation.serving.app import create_app
from feature_repo.online import read_subscriber
from feature_repo.store import close_store, open_store
from marquee import database, embedded_postgres
from marquee.settings import Settings
from tests.activation.serving.large_world import build_large_world
from tests.end_to_end.machine import free_port

LIMIT_MS = 50.0
REQUESTS = 1_500
WARM_UP = 200


def main() -> bool:
    """Build, measure, print; True when every endpoint kept the limit and every list was personal."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="marquee-bench-") as folder:
        settings = Settings(var_dir=Path(folder) / "var", database_url=None, serving_port=free_port())
        embedded_postgres.start(settings)
        try:
            database.prepare(settings)
            with console.status("building the world"):
                subscribers = build_large_world(settings)
            # not a fork: torch and psycopg have threads
            server = multiprocessing.get_context("spawn").Process(target=_serve, args=(settings,), daemon=True)
            server.start()
            try:
                return _measure(settings, subscribers, console)
            finally:
                server.terminate()
                server.join(timeout=20)
        finally:
            embedded_postgres.stop(settings)


def _measure(settings: Settings, subscribers: list[str], console: Console) -> bool:
    base = f"http://127.0.0.1:{settings.serving_port}"
    with httpx.Client(base_url=base, timeout=10) as client:
        _wait_until_ready(client)
        fallbacks = 0

        def get(path: str) -> Callable[[str], None]:
            def ask(subscriber_id: str) -> None:
                nonlocal fallbacks
                answer = client.get(path, params={"subscriber_id": subscriber_id})
                fallbacks += answer.status_code != 200 or answer.json()["is_fallback"]

            return ask

        health = _durations(lambda _: client.get("/health"), subscribers)
        lists = _durations(get("/v1/recommendations"), subscribers)
        pages = _durations(get("/v1/homepage"), subscribers)
    store = open_store(settings)
    feast = _durations(lambda subscriber_id: read_subscriber(store, subscriber_id), subscribers)
    close_store(store)
    table = Table(
        "what",
        "p50",
        "p99",
        "p99 / limit",
        "p50 / Feast alone",
        title=f"serving: one client, {REQUESTS:,} requests each",
    )
    for name, found in (
        ("GET /v1/recommendations", lists),
        ("GET /v1/homepage", pages),
        ("peer: Feast's online read, in process", feast),
        ("floor: GET /health", health),
    ):
        table.add_row(
            name, f"{_p(found, 50):.1f} ms", f"{_p(found, 99):.1f} ms", f"{_p(found, 99) / LIMIT_MS:.2f}",
            f"{_p(found, 50) / _p(feast, 50):.2f}",
        )  # fmt: skip
    console.print(table)
    console.print(f"limit: {LIMIT_MS:.0f} ms at the 99th percentile; lists that were not personal: {fallbacks}")
    return fallbacks == 0 and max(_p(lists, 99), _p(pages, 99)) <= LIMIT_MS


def _durations(ask: Callable[[str], object], subscribers: list[str]) -> list[float]:
    """Milliseconds of each request after the warm-up, each for the next subscriber."""
    durations = []
    for number, subscriber_id in zip(range(WARM_UP + REQUESTS), cycle(subscribers), strict=False):
        started = time.perf_counter()
        ask(subscriber_id)
        if number >= WARM_UP:
            durations.append(1_000 * (time.perf_counter() - started))
    return durations


def _p(durations: list[float], percentile: int) -> float:
    return float(np.percentile(durations, percentile))


def _wait_until_ready(client: httpx.Client, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    problem = "it does not answer"
    while time.monotonic() < deadline:
        try:
            answer = client.get("/ready")
            if answer.status_code == 200:
                return
            problem = answer.text
        except httpx.TransportError as error:
            problem = str(error)
        time.sleep(0.1)
    raise TimeoutError(f"the app was not ready within {seconds:.0f} s: {problem}")


def _serve(settings: Settings) -> None:
    uvicorn.run(
        create_app(settings), host="127.0.0.1", port=settings.serving_port, log_level="warning", access_log=False
    )


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
