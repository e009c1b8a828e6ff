"""Events through the compose stack: posted to its collector, stored, stitched by its live profiles, kept by a crash.

In: a stack that is up (`docker/stack.sh up`). Out: exit status 0, or what went wrong. The database container is stopped
outright while events are sent; every event that was answered with 200 must be stored, and stored once.
"""

import functools
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

_DOCKER = Path(__file__).resolve().parents[2] / "docker"
_COLLECTOR = "http://127.0.0.1:8010"
_SERVICES = ("collector", "live-profiles")
_DEFAULT_KEY = "marquee-local"
_ENOUGH = 200


class Sender:
    """Sends one event after the other, the refused ones again; `acknowledged` are those that were answered with 200."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.refused_count = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def start(self) -> "Sender":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._ending.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._ending.is_set():
            message_id = f"smoke-{uuid.uuid4()}"
            while not (is_taken := _is_taken({"anonymousId": message_id, "messageId": message_id})):
                self.refused_count += 1
                if self._ending.wait(0.2):
                    break
            if is_taken:
                self.acknowledged.append(message_id)


def main() -> None:
    for service in _SERVICES:
        _wait(lambda service=service: _health(service) == "healthy", f"a healthy {service}")
    _check_stitching("before the restart")
    sender = Sender().start()
    try:
        _wait(lambda: len(sender.acknowledged) > _ENOUGH, "events before the restart")
        # without a moment of grace, so that what follows is a recovery
        _compose("restart", "--timeout", "0", "postgres")
        before = len(sender.acknowledged)
        _wait(lambda: len(sender.acknowledged) > before + _ENOUGH, "events after the restart")
    finally:
        sender.stop()
    assert sender.refused_count, "the database was never away"
    _check_stored_once(sender.acknowledged)
    _check_stitching("after the restart")
    for service in _SERVICES:
        _wait(lambda service=service: _health(service) == "healthy", f"a healthy {service} after the restart")
    _say(f"{len(sender.acknowledged)} acknowledged events outlived a crash of the database")


def _check_stitching(when: str) -> None:
    """A visit and then a sign-in: both stored, and one person to the live profiles."""
    browser, reader = f"browser-{uuid.uuid4()}", f"reader-{uuid.uuid4()}"
    for identifiers in ({"anonymousId": browser}, {"anonymousId": browser, "userId": reader}):
        _wait(lambda sent={**identifiers, "messageId": f"smoke-{uuid.uuid4()}"}: _is_taken(sent), "an answer of 200")
    assert _sql(f"select count(*) from raw.events where anonymous_id = '{browser}'") == "2"
    started = time.monotonic()
    same = f"select identity.subscriber_of('anonymous_id', '{browser}') = identity.subscriber_of('user_id', '{reader}')"
    _wait(lambda: _sql(same) == "t", f"the live profiles {when}")
    _say(f"{when}: stored, and stitched within {time.monotonic() - started:.1f} s")


def _check_stored_once(message_ids: list[str]) -> None:
    stored = _sql("select message_id from raw.events where message_id like 'smoke-%'").splitlines()
    assert len(stored) == len(set(stored)), f"{len(stored) - len(set(stored))} events are stored twice"
    lost = set(message_ids) - set(stored)
    assert not lost, f"{len(lost)} acknowledged events are lost, such as {min(lost)}"


def _is_taken(call: dict[str, str]) -> bool:
    body = json.dumps({**call, "writeKey": _write_key()}).encode()
    request = urllib.request.Request(f"{_COLLECTOR}/v1/identify", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        assert error.code in (429, 503), f"the collector answered {error.code}: {error.read().decode()}"
        return False


@functools.cache
def _write_key() -> str:
    """The first of the stack's own keys, or the one that it has without any."""
    for line in (_DOCKER / ".env").read_text().splitlines():
        name, _, pairs = line.partition("=")
        if name == "WRITE_KEYS" and pairs:
            return pairs.split(",")[0].partition("=")[2]
    return _DEFAULT_KEY


def _health(service: str) -> str:
    container = _compose("ps", "-q", service).strip()
    return _output("docker", "inspect", "--format", "{{.State.Health.Status}}", container).strip()


def _sql(query: str) -> str:
    psql = ("psql", "--username=marquee", "--dbname=marquee", "--no-align", "--tuples-only", "--command")
    return _compose("exec", "-T", "postgres", *psql, query).strip()


def _compose(*arguments: str) -> str:
    return _output(str(_DOCKER / "stack.sh"), "compose", *arguments)


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _wait(condition: Callable[[], bool], name: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {name}"
        time.sleep(0.2)


if __name__ == "__main__":
    main()
