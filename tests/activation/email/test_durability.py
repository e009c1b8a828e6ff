"""No acknowledged message is lost, and none that surely did not go is there, when the endpoint is killed."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import psycopg
from pydantic import SecretStr

from activation.channels.email.sender import EmailSender, OutcomeUnknownError, ProviderUnavailableError
from marquee import database
from marquee.settings import Settings
from tests.activation.email.conftest import Waits, free_port, make_message, make_sender, script
from tests.activation.email.endpoint import running_endpoint
from tests.waiting import wait_until

_DEADLINE_SECONDS = 60.0


@contextmanager
def _endpoint_process(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`marquee serve email`, as a user starts it."""
    environment = {
        **os.environ,
        "DATABASE_URL": database.warehouse_url(settings),
        "MARQUEE_VAR_DIR": str(settings.var_dir),
        "MARQUEE_EMAIL_PORT": str(settings.email_port),
    }
    process = subprocess.Popen([script("marquee"), "serve", "email"], env=environment)
    try:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not _is_healthy(settings):
            assert process.poll() is None and time.monotonic() < deadline, "the endpoint did not start"
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def _is_healthy(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.email_url}/health").is_success
    except httpx.HTTPError:
        return False


class _Outcomes:
    """What several senders were told, until the endpoint was gone."""

    def __init__(self, settings: Settings) -> None:
        self.sent: set[str] = set()
        self.unknown: set[str] = set()
        self.not_sent: set[str] = set()
        self._sender: EmailSender = make_sender(settings, Waits())
        self._threads = [threading.Thread(target=self._send_until_gone, args=(worker,)) for worker in range(4)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(_DEADLINE_SECONDS)
            assert not thread.is_alive()

    def _send_until_gone(self, worker: int) -> None:
        for number in range(10_000):
            send_id = f"{worker}-{number}"
            try:
                self._sender.send(make_message(send_id))
                self.sent.add(send_id)
            except OutcomeUnknownError:
                self.unknown.add(send_id)
            except ProviderUnavailableError:
                self.not_sent.add(send_id)
                return


def _stored_ids(settings: Settings) -> list[str]:
    with psycopg.connect(database.warehouse_url(settings)) as connection:
        rows = connection.execute("select custom_args ->> 'send_id' from activation.captured_messages").fetchall()
    return [row[0] for row in rows]


def test_a_killed_endpoint_has_every_message_it_acknowledged_and_none_that_it_surely_did_not(
    settings: Settings,
) -> None:
    used = settings.model_copy(update={"email_port": free_port()})
    with _endpoint_process(used) as process:
        outcomes = _Outcomes(used)
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while len(outcomes.sent) < 150 and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        process.send_signal(signal.SIGKILL)
        outcomes.join()
    # a commit that the killed process had asked for is still carried out by its session of the server
    wait_until(lambda: not _other_sessions(used), _DEADLINE_SECONDS, "the end of the killed endpoint's sessions")
    stored = _stored_ids(used)
    assert len(outcomes.sent) >= 150
    assert len(stored) == len(set(stored))
    assert outcomes.sent <= set(stored) <= outcomes.sent | outcomes.unknown
    assert outcomes.not_sent.isdisjoint(stored)
    with _endpoint_process(used):
        sender = make_sender(used, Waits())
        for send_id in outcomes.unknown:
            assert (sender.find_message(send_id) is not None) == (send_id in stored)


def _other_sessions(settings: Settings) -> int:
    """How many sessions others have in this database."""
    with database.connect(settings) as connection:
        row = connection.execute(
            "select count(*) as n from pg_stat_activity where datname = current_database() "
            "and pid <> pg_backend_pid() and backend_type = 'client backend'"
        ).fetchone()
    return 0 if row is None else int(row["n"])


def test_without_a_database_the_endpoint_starts_and_says_that_it_accepts_nothing(settings: Settings) -> None:
    nowhere = settings.model_copy(
        update={"database_url": SecretStr(f"postgresql://marquee@127.0.0.1:{free_port()}/marquee")}
    )
    with running_endpoint(nowhere) as used:
        assert httpx.get(f"{used.email_url}/health").status_code == 503
        answer = httpx.get(f"{used.email_url}/", headers={"Accept": "text/html"})
        assert (answer.status_code, "Back in a moment" in answer.text) == (503, True)
