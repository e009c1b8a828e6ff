"""How the collector answers: JSON, and the headers without which a browser does not show a page the answer.

Any site may send events (the write key says whose they are, and no cookie means anything here), so every origin is
allowed, with credentials too: `navigator.sendBeacon` sends them whether they are wanted or not.
"""

from dataclasses import dataclass

import orjson

from ingestion.collector.refusals import RefusedRequestError

Headers = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", b"application/json"),)


STORED = Answer(200, b'{"success":true}')


def json_answer(content: object, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(content))


def refusal(error: RefusedRequestError) -> Answer:
    """`{"success": false, "message": ..., "field": ...}`, with Retry-After where trying again helps."""
    answer = json_answer({"success": False, "message": error.message, "field": error.field}, error.status)
    if error.retry_after_seconds is None:
        return answer
    return Answer(
        answer.status, answer.body, (*answer.headers, (b"retry-after", str(error.retry_after_seconds).encode()))
    )


def preflight(headers: Headers) -> Answer:
    """The answer to a browser that asks what it may send."""
    return Answer(
        204,
        b"",
        (
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"access-control-allow-headers", headers.get(b"access-control-request-headers", b"content-type")),
            (b"access-control-max-age", b"86400"),
        ),
    )


def cross_origin(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """Headers that let the page of the request's origin read the answer; none off the browser."""
    origin = headers.get(b"origin")
    if origin is None:
        return ()
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"retry-after"),
        (b"vary", b"Origin"),
    )
