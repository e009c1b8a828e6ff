"""The real local endpoint, served by uvicorn in this process on a free port, for every test that sends email."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from activation.channels.email.local_endpoint import create_app
from marquee.settings import Settings

_DEADLINE_SECONDS = 20.0


@contextmanager
def running_endpoint(settings: Settings) -> Iterator[Settings]:
    """Settings whose email_port is that of an endpoint which runs until the context ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        used = settings.model_copy(update={"email_port": port})
        server = uvicorn.Server(
            uvicorn.Config(create_app(used), log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + _DEADLINE_SECONDS
            while not server.started:
                assert thread.is_alive() and time.monotonic() < deadline, "the local endpoint did not start"
                thread.join(0.01)
            yield used
        finally:
            server.should_exit = True
            thread.join(_DEADLINE_SECONDS)
            assert not thread.is_alive(), "the local endpoint did not stop"
