"""Write keys: who a request comes from.

In: the setting `MARQUEE_WRITE_KEYS` and the ways in which clients name their key (HTTP Basic, query, body). Out: the
name of the source. A write key is no secret of a browser's: it opens nothing but the right to add events.
"""

import base64
import binascii
import re

from ingestion.collector.refusals import RefusedRequestError
from marquee.errors import MarqueeError
from marquee.settings import Settings

_LOCAL_KEYS = "live=marquee-local"
_SOURCE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class WriteKeyError(MarqueeError):
    """The setting of the write keys cannot be read."""


def read_write_keys(settings: Settings) -> dict[str, str]:
    """The source of each write key.

    Raises:
        WriteKeyError: a pair is not `source=key`, or a key belongs to two sources.
    """
    text = _LOCAL_KEYS if settings.write_keys is None else settings.write_keys.get_secret_value()
    sources: dict[str, str] = {}
    for place, pair in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        source, _, key = (part.strip() for part in pair.partition("="))
        # the pair itself stays out of the message: half of it is a key
        if not key or not _SOURCE_NAME.fullmatch(source):
            raise WriteKeyError(
                f"pair {place} of MARQUEE_WRITE_KEYS is not source=key with a source of a-z, 0-9, _ and -"
            )
        if sources.setdefault(key, source) != source:
            raise WriteKeyError(f"the key of source {source!r} in MARQUEE_WRITE_KEYS is {sources[key]!r}'s too")
    if not sources:
        raise WriteKeyError("MARQUEE_WRITE_KEYS names no source; write source=key, or leave it unset")
    return sources


def key_of_header(authorization: str) -> str | None:
    """The user name of an HTTP Basic header; None without a header.

    Raises:
        RefusedRequestError: 401, the header is something else.
    """
    if not authorization:
        return None
    kind, _, credentials = authorization.partition(" ")
    if kind.lower() == "basic":
        try:
            return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            pass
    raise RefusedRequestError(
        401, "the Authorization header must be HTTP Basic with the write key as user name and no password",
        "Authorization",
    )  # fmt: skip


def source_of(sources: dict[str, str], key: object) -> str:
    """The source that `key` belongs to.

    Raises:
        RefusedRequestError: 401, no or an unknown key.
    """
    if key is None:
        raise RefusedRequestError(
            401, "no write key; send it as user name of HTTP Basic, or as writeKey in the body", "writeKey"
        )
    source = sources.get(key) if isinstance(key, str) else None
    if source is None:
        raise RefusedRequestError(401, "unknown write key; the collector's are in MARQUEE_WRITE_KEYS", "writeKey")
    return source
