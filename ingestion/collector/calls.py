"""What a request says: one Segment call, or a batch of them.

In: the JSON of a body. Out: a `Delivery` of calls as the door takes them, each with a type and a message id, and of
what can be no call. https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from ingestion.collector.bodies import MAX_CALL_BYTES
from ingestion.collector.refusals import RefusedRequestError
from ingestion.records import payload_of, shown
from marquee.clock import parse_moment

BATCH = "batch"
# the short names are those of @segment/analytics-next
KINDS = {
    "track": "track", "t": "track",
    "identify": "identify", "i": "identify",
    "page": "page", "p": "page",
    "screen": "screen", "s": "screen",
    "group": "group", "g": "group",
    "alias": "alias", "a": "alias",
    BATCH: BATCH, "b": BATCH,
}  # fmt: skip
_FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MOMENT = datetime(2200, 1, 1, tzinfo=UTC)
_KEPT_OF_LARGE = ("type", "messageId", "event", "userId", "anonymousId", "timestamp")
_LONGEST_ID = 200

Call = dict[str, object]


@dataclass(frozen=True, slots=True)
class Misfit:
    """A part of a batch that is no call, with the reason and JSON of it."""

    message_id: str
    value: str | None
    reason: str
    payload: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """The calls of one request, the moment at which the client's clock sent them, and the key in the body."""

    calls: list[Call]
    misfits: list[Misfit]
    sent_at: datetime | None
    write_key: object


def read_delivery(kind: str, body: bytes) -> Delivery:
    """The calls in a body that was sent to the address of `kind`.

    Raises:
        RefusedRequestError: 400 no JSON object or no batch, 413 a call that is too large.
    """
    said = _read_json(body)
    if not isinstance(said, dict):
        raise RefusedRequestError(400, "the body must be a JSON object")
    return _read_batch(said, len(body)) if kind == BATCH else _read_single(kind, said, len(body))


def _read_json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        reason = error
    try:
        # takes NaN and half an emoji, which clients do write: the door refuses that event, and the others are stored
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedRequestError(400, f"the body is not JSON: {reason}") from None


def _read_single(kind: str, said: Call, size: int) -> Delivery:
    if size > MAX_CALL_BYTES:
        raise RefusedRequestError(413, f"the event is larger than {MAX_CALL_BYTES // 1024} KB, which is the most")
    said["type"] = kind
    write_key = said.pop("writeKey", None)
    _complete(said, said.get("sentAt"), 0)
    return Delivery([said], [], read_moment(said.get("sentAt")), write_key)


def _read_batch(said: Call, size: int) -> Delivery:
    parts = said.get("batch")
    if not isinstance(parts, list):
        raise RefusedRequestError(400, "a batch must have a list of calls", "batch")
    sent_at, write_key, context = said.get("sentAt"), said.get("writeKey"), said.get("context")
    calls: list[Call] = []
    misfits: list[Misfit] = []
    # one that is too large cannot hide in a body that is not
    is_large_body = size > MAX_CALL_BYTES
    for place, part in enumerate(parts):
        if not isinstance(part, dict) or (is_large_body and len(_written(part)) > MAX_CALL_BYTES):
            misfits.append(_misfit(part, _content_id(part, sent_at, place)))
            continue
        key = part.pop("writeKey", None)
        write_key = write_key if write_key is not None else key
        _complete(part, sent_at, place)
        if isinstance(context, dict):
            own = part.get("context")
            part["context"] = {**context, **own} if isinstance(own, dict) else context
        calls.append(part)
    return Delivery(calls, misfits, read_moment(sent_at), write_key)


def read_moment(text: object) -> datetime | None:
    """The moment that a client wrote; None where it wrote none, or nothing that is one."""
    if not isinstance(text, str):
        return None
    try:
        moment = parse_moment(text)
    except (ValueError, OverflowError):
        return None
    return moment if _FIRST_MOMENT <= moment <= _LAST_MOMENT else None


def _misfit(part: object, content_id: str) -> Misfit:
    if not isinstance(part, dict):
        return Misfit(content_id, shown(part), "is not a JSON object", payload_of(part))
    # who and what it was about; the door, which reduces what is personal, has not seen the rest
    kept = {name: value for name in _KEPT_OF_LARGE if isinstance(value := part.get(name), str)}
    message_id = kept.get("messageId") or content_id
    reason = f"is larger than {MAX_CALL_BYTES // 1024} KB, which is the most"
    return Misfit(message_id[:_LONGEST_ID], None, reason, payload_of(kept))


def _complete(call: Call, sent_at: object, place: int) -> None:
    if call.get("messageId") in (None, ""):
        call["messageId"] = _content_id(call, sent_at, place)
    if "timestamp" not in call and "originalTimestamp" in call:
        # RudderStack's name of it
        call["timestamp"] = call["originalTimestamp"]


def _content_id(part: object, sent_at: object, place: int) -> str:
    """An id from what was said: the same body sent again is known, two equal calls of one batch stay two."""
    said = _written([sent_at, place, part], orjson.OPT_SORT_KEYS)
    return "made-" + hashlib.blake2b(said, digest_size=16).hexdigest()


def _written(value: object, option: int | None = None) -> bytes:
    try:
        return orjson.dumps(value, option=option)
    except orjson.JSONEncodeError:
        # deeper than orjson goes, or half an emoji
        return repr(value).encode("utf-8", "backslashreplace")
