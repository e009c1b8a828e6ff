"""The serving app on a real port, in this process, for browsers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from activation.serving.app import create_app
from marquee.settings import Settings
from tests.waiting import wait_until


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    """Address of the app while the context lasts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        bound = settings.model_copy(update={"serving_port": port})
        server = uvicorn.Server(uvicorn.Config(create_app(bound), log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive(), 30, "the start of the app")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(timeout=20)
