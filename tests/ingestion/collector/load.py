"""Clients that send until they are told to stop, and send again whatever is not acknowledged."""

import threading
import uuid
from dataclasses import dataclass, field

import httpx

from tests.ingestion.collector.running import KEY, LiveCollector, batch_of, watched

_CONNECTIONS = 4
_BATCH = 20


@dataclass
class Load:
    """Batches over a few connections; `acknowledged` holds the message ids that were answered with 200."""

    collector: LiveCollector
    acknowledged: set[str] = field(default_factory=set)
    refusals: list[httpx.Response] = field(default_factory=list)
    lost_connections: int = 0

    def __post_init__(self) -> None:
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(_CONNECTIONS)]

    def start(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Send no new batch, and return when the last ones are acknowledged."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "a batch was never acknowledged"

    def _send(self) -> None:
        with httpx.Client(base_url=self.collector.url, auth=(KEY, ""), timeout=30) as client:
            while not self._is_over.is_set():
                ids = [str(uuid.uuid4()) for _ in range(_BATCH)]
                body = batch_of(watched(message_id) for message_id in ids)
                while not self._is_taken(client, body):
                    # a client waits as long as Retry-After says; the test has no time for that
                    self._is_over.wait(0.05)
                self.acknowledged.update(ids)

    def _is_taken(self, client: httpx.Client, body: object) -> bool:
        try:
            answer = client.post("/v1/batch", json=body)
        except httpx.TransportError:
            self.lost_connections += 1
            return False
        if answer.status_code != 200:
            self.refusals.append(answer)
        return answer.status_code == 200
