"""Request bodies: read within a limit, unpacked within the same limit, and counted while they are in memory.

In: an ASGI `receive` and the request's headers. Out: bytes of JSON text, never more than a batch may have.
"""

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Receive

from ingestion.collector.refusals import RefusedRequestError, too_busy

MAX_CALL_BYTES = 32 * 1024
MAX_BODY_BYTES = 500 * 1024
_SLOWEST_SECONDS = 30
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class Budget:
    """How many bytes of not yet stored requests are in memory, and how many may be."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    @contextmanager
    def holding(self, count: int) -> Iterator[None]:
        """Count `count` bytes until the block ends.

        Raises:
            RefusedRequestError: 429, they do not fit beside what is held.
        """
        if self.held + count > self._limit:
            raise too_busy()
        self.held += count
        try:
            yield
        finally:
            self.held -= count


def announced_size(headers: dict[bytes, bytes]) -> int:
    """How large the body will be: its Content-Length, or the largest that is read.

    Raises:
        RefusedRequestError: 413, it is too large.
    """
    length = headers.get(b"content-length", b"")
    size = int(length) if length.isdigit() else MAX_BODY_BYTES
    if size > MAX_BODY_BYTES:
        raise _too_large("the body")
    return size


async def read_body(receive: Receive, headers: dict[bytes, bytes]) -> bytes:
    """The whole body, unpacked.

    Raises:
        RefusedRequestError: 413 too large, 415 unknown encoding, 408 too slow, 400 broken gzip or a lost connection.
    """
    try:
        async with asyncio.timeout(_SLOWEST_SECONDS):
            body = await _read(receive)
    except TimeoutError:
        raise RefusedRequestError(408, f"the body did not arrive within {_SLOWEST_SECONDS} s; send it again") from None
    encoding = headers.get(b"content-encoding", b"identity").lower()
    if encoding == b"identity":
        return body
    if encoding == b"gzip":
        return _unpack(body)
    raise RefusedRequestError(415, "the body may be plain or gzip", "Content-Encoding")


async def _read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        parts = bytearray(body)
        while message.get("more_body", False):
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            parts += message.get("body", b"")
            if len(parts) > MAX_BODY_BYTES:
                raise _too_large("the body")
        body = bytes(parts)
    if message["type"] == "http.disconnect":
        raise RefusedRequestError(400, "the connection ended before the body did; send it again")
    return body


def _unpack(packed: bytes) -> bytes:
    """The content of every gzip member, given up as soon as it is too large."""
    unpacked = b""
    try:
        while packed:
            member = zlib.decompressobj(_GZIP_WINDOW)
            unpacked += member.decompress(packed, MAX_BODY_BYTES + 1 - len(unpacked))
            if len(unpacked) > MAX_BODY_BYTES:
                raise _too_large("the unpacked body")
            if not member.eof:
                raise zlib.error("it ends early")
            packed = member.unused_data
    except zlib.error as error:
        raise RefusedRequestError(400, f"the body is not gzip ({error})", "Content-Encoding") from None
    return unpacked


def _too_large(what: str) -> RefusedRequestError:
    return RefusedRequestError(
        413, f"{what} is larger than {MAX_BODY_BYTES // 1024} KB, which is the most; send smaller batches", "batch"
    )
