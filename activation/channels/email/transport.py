"""How the official client's requests travel: over connections that are kept open, with every failure told apart.

In: requests that `python_http_client` builds. Out: its responses and its errors for an answer of the provider, httpx's
errors where there was none: those say whether a request can have been read, which urllib's do not.
"""

import logging
from email.message import Message
from io import BytesIO
from urllib.error import HTTPError
from urllib.request import OpenerDirector, Request

import httpx
from python_http_client.client import Client
from python_http_client.exceptions import handle_error

# a send is answered within a second or so; a large one on a bad day still must not be cut off and left unknown
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
# shorter than any server keeps an idle connection, so that no request starts on one that is just being closed
_LIMITS = httpx.Limits(max_connections=8, max_keepalive_connections=8, keepalive_expiry=2.0)


def open_connections(timeout: httpx.Timeout = TIMEOUT) -> httpx.Client:
    """Connections that any number of requests share."""
    # both log what must stay out of logs: keys and addresses the one, queries the other
    for name in ("python_http_client.client", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx.Client(timeout=timeout, limits=_LIMITS, follow_redirects=False)


class ReusingClient(Client):  # type: ignore[misc]  # the library is not typed
    """The official HTTP client, but for how bytes travel: it opens one connection a request, and this one does not."""

    def __init__(self, connections: httpx.Client, host: str, request_headers: dict[str, str], path: list[str]) -> None:
        super().__init__(host=host, request_headers=request_headers, version=3, url_path=path)
        self._connections = connections

    def _build_client(self, name: str | None = None) -> "ReusingClient":
        path = [*self._url_path, name] if name else self._url_path
        # its own headers: the library adds some while a request is made, and threads share the parent's
        return ReusingClient(self._connections, self.host, dict(self.request_headers), path)

    def _make_request(self, _opener: OpenerDirector, request: Request, timeout: float | None = None) -> "_Answer":
        response = self._connections.request(
            request.get_method(),
            request.full_url,
            content=request.data if isinstance(request.data, bytes) else None,
            headers=dict(request.header_items()),
            timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout,
        )
        answer = _Answer(response)
        if response.status_code >= 300:
            raise handle_error(
                HTTPError(str(request.full_url), answer.getcode(), response.reason_phrase, answer.info(),
                          BytesIO(response.content))
            )  # fmt: skip
        return answer


class _Answer:
    """An httpx response in the shape of urllib's, which the library reads."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    def getcode(self) -> int:
        return self._response.status_code

    def read(self) -> bytes:
        return self._response.content

    def info(self) -> Message:
        headers = Message()
        for name, value in self._response.headers.multi_items():
            headers[name] = value
        return headers
