"""The collector as a process of its own, started, killed and asked the way its users and its faults do."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from marquee.clock import utc_now
from marquee.settings import PROJECT_ROOT, Settings
from tests.end_to_end.machine import free_port
from tests.waiting import wait_until

KEY = "marquee-local"
_MARQUEE = str(Path(sys.executable).parent / "marquee")


@dataclass
class LiveCollector:
    """`marquee serve collector` on a port of its own; `environment` holds settings that differ."""

    var_dir: Path
    environment: Mapping[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    # one, as making one takes longer than a request; no connection outlives its request, as a collector may not either
    _client: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=30, limits=httpx.Limits(max_keepalive_connections=0))
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "LiveCollector":
        self.var_dir.mkdir(parents=True, exist_ok=True)
        with (self.var_dir / "collector.log").open("ab") as log:
            self.process = subprocess.Popen(
                [_MARQUEE, "serve", "collector"],
                env={
                    "PATH": "/usr/bin:/bin",
                    "MARQUEE_VAR_DIR": str(self.var_dir),
                    "MARQUEE_COLLECTOR_PORT": str(self.port),
                    **self.environment,
                },
                cwd=PROJECT_ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._is_up, 30, "the start of the collector")
        return self

    def kill_9(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=20)

    def post(self, path: str, body: object, key: str | None = KEY, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        auth = None if key is None else httpx.BasicAuth(key, "")
        return self._client.post(f"{self.url}{path}", content=content, auth=auth, headers=named)

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.var_dir / "collector.log").read_text()
        try:
            return httpx.get(f"{self.url}/ready", timeout=5).is_success
        except httpx.TransportError:
            return False


def environment_of(settings: Settings) -> dict[str, str]:
    """What a process needs to work on the database of `settings`."""
    url = settings.database_url
    return {} if url is None else {"DATABASE_URL": url.get_secret_value()}


def watched(message_id: str, **differing: object) -> dict[str, object]:
    """A call that the tracking plan knows."""
    return {
        "messageId": message_id,
        "type": "track",
        "event": "Content Added To List",
        "userId": "u-1",
        "timestamp": utc_now().isoformat(),
        "properties": {"content_id": "c-1"},
        **differing,
    }


def batch_of(calls: Iterable[Mapping[str, object]], **differing: object) -> dict[str, object]:
    return {"batch": list(calls), "sentAt": utc_now().isoformat(), **differing}
