"""One running endpoint a test module, with its own database, and a sender that never really waits."""

import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow, dict_row
from pydantic import SecretStr

from activation.channels.email.api_key import LOCAL_KEY
from activation.channels.email.message import EmailMessage
from activation.channels.email.sender import EmailSender
from marquee import database
from marquee.settings import Settings
from tests.activation.email.endpoint import running_endpoint

# one client: each new one reads the certificates of the world first
_HTTP = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=30)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@dataclass
class Waits:
    """A clock that only sleeping moves."""

    now: datetime = NOW
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Endpoint:
    """A running endpoint, what it stored, and how to make it fail."""

    settings: Settings

    @property
    def url(self) -> str:
        return self.settings.email_url

    def post(self, payload: object, **headers: str) -> httpx.Response:
        """One Mail Send request with the right key."""
        return _HTTP.post(
            f"{self.url}/v3/mail/send", json=payload, headers={"Authorization": f"Bearer {LOCAL_KEY}", **headers}
        )

    def search(self, query: str, limit: int = 10) -> httpx.Response:
        return _HTTP.get(
            f"{self.url}/v3/messages",
            params={"query": query, "limit": limit},
            headers={"Authorization": f"Bearer {LOCAL_KEY}"},
        )

    def rehearse(self, **fault: object) -> None:
        _HTTP.post(f"{self.url}/rehearsal/faults", json=fault).raise_for_status()

    def stored(self) -> list[DictRow]:
        return self._rows("order by accepted_at, provider_message_id")

    def newest(self) -> DictRow:
        return self._rows("order by accepted_at desc limit 1")[0]

    def _rows(self, how: str) -> list[DictRow]:
        with psycopg.connect(database.warehouse_url(self.settings), row_factory=dict_row) as connection:
            return connection.execute(f"select * from activation.captured_messages {how}".encode()).fetchall()


@pytest.fixture(scope="module")
def shared_endpoint(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    settings = Settings(var_dir=tmp_path_factory.mktemp("var"), database_url=SecretStr(make_database()))
    with running_endpoint(settings) as used:
        yield Endpoint(used)


@pytest.fixture
def endpoint(shared_endpoint: Endpoint) -> Endpoint:
    """The module's endpoint, empty and without faults."""
    _HTTP.delete(f"{shared_endpoint.url}/rehearsal/faults").raise_for_status()
    with psycopg.connect(database.warehouse_url(shared_endpoint.settings)) as connection:
        connection.execute("truncate activation.captured_messages")
    return shared_endpoint


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def sender(endpoint: Endpoint, waits: Waits) -> Iterator[EmailSender]:
    """A sender to the endpoint with half of the jitter, on a clock of its own."""
    made = make_sender(endpoint.settings, waits)
    yield made
    made.close()


def make_sender(settings: Settings, waits: Waits, timeout: float = 10.0) -> EmailSender:
    return EmailSender(
        settings, timeout=httpx.Timeout(timeout), sleep=waits.sleep, now=lambda: waits.now, jitter=lambda: 0.5
    )


def make_message(send_id: str = "send-1", **changes: object) -> EmailMessage:
    values: dict[str, object] = {
        "to_email": "ada@example.com",
        "subject": "Three films for you",
        "html": "<!doctype html><html><head><title>Films</title></head><body><p>Hello Ada</p></body></html>",
        "plain": "Hello Ada",
        "categories": ("re_engagement",),
        "custom_args": {"send_id": send_id, "campaign_id": "re_engagement", "occurrence_key": "2026-11"},
        "headers": {"List-Unsubscribe": "<https://marquee.example/u/1>"},
    }
    return EmailMessage(**{**values, **changes})  # type: ignore[arg-type]


def make_request(**changes: object) -> dict[str, object]:
    """A Mail Send request that is accepted; a change to None takes a field away."""
    request: dict[str, object] = {
        "personalizations": [{"to": [{"email": "ada@example.com"}]}],
        "from": {"email": "hello@marquee.example", "name": "Marquee"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hello"}, {"type": "text/html", "value": "<p>Hello"}],
        **changes,
    }
    return {name: value for name, value in request.items() if value is not None}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def script(name: str) -> Path:
    """A program of the environment in which the tests run."""
    return Path(sys.executable).parent / name
