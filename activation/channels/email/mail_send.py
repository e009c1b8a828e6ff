"""What the v3 Mail Send API accepts: one request parsed, and every fault named the way SendGrid names it.

In: the bytes of a request. Out: the messages in it, one a recipient, or a list of errors. The rules are those of the
API reference of `POST /v3/mail/send`: sizes, counts, required fields, and where a field of a personalization replaces
the field of the whole request.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NoReturn

from pydantic import BaseModel, ConfigDict, EmailStr, Field, ValidationError, field_validator

MAX_BYTES = 30 * 1024 * 1024
_MAX_RECIPIENTS = 1_000
_MAX_CATEGORIES = 10
_MAX_CUSTOM_ARGS_BYTES = 10_000
_MAX_REPLY_TO = 1_000
_MAX_DEPTH = 100
_RESERVED_HEADERS = frozenset(
    {
        "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding", "to", "from",
        "subject", "reply-to", "cc", "bcc",
    }
)  # fmt: skip
_HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html"


class _Part(BaseModel):
    # SendGrid adds fields from time to time; what this endpoint does not know, it keeps and does not judge
    model_config = ConfigDict(extra="allow", strict=True)


class _Address(_Part):
    email: EmailStr
    name: str | None = None


class _Content(_Part):
    type: Annotated[str, Field(min_length=1, pattern=r"^[^;\r\n]+$")]
    value: Annotated[str, Field(min_length=1)]


class _Attachment(_Part):
    content: Annotated[str, Field(min_length=1)]
    filename: Annotated[str, Field(min_length=1, pattern=r"^[^;\r\n]+$")]
    type: str | None = None


class _WithHeaders(_Part):
    headers: dict[str, str] = {}

    @field_validator("headers")
    @classmethod
    def _headers_are_free(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if name.lower() in _RESERVED_HEADERS:
                raise ValueError(f"The header {name} is reserved and cannot be set.")
            if not name.isascii() or not name.isprintable() or not name or any(c in name for c in " :"):
                raise ValueError("A header's name has printable ASCII characters but the space and the colon.")
            if "\r" in value or "\n" in value:
                raise ValueError(f"The header {name} cannot hold a line break.")
        return headers


class _Personalization(_WithHeaders):
    to: Annotated[list[_Address], Field(min_length=1)]
    cc: list[_Address] = []
    bcc: list[_Address] = []
    sender: Annotated[_Address | None, Field(alias="from")] = None
    subject: str | None = None
    custom_args: dict[str, str] = {}
    send_at: int | None = None

    @property
    def recipients(self) -> list[_Address]:
        return [*self.to, *self.cc, *self.bcc]


class _Switch(_Part):
    enable: bool = False


class _MailSettings(_Part):
    sandbox_mode: _Switch = _Switch()


class _Request(_WithHeaders):
    personalizations: Annotated[list[_Personalization], Field(min_length=1, max_length=_MAX_RECIPIENTS)]
    sender: Annotated[_Address, Field(alias="from")]
    reply_to: _Address | None = None
    reply_to_list: Annotated[list[_Address], Field(max_length=_MAX_REPLY_TO)] = []
    subject: str | None = None
    content: list[_Content] = []
    attachments: list[_Attachment] = []
    template_id: str | None = None
    categories: Annotated[list[Annotated[str, Field(max_length=255)]], Field(max_length=_MAX_CATEGORIES)] = []
    custom_args: dict[str, str] = {}
    send_at: int | None = None
    mail_settings: _MailSettings = _MailSettings()


@dataclass(frozen=True)
class ApiError:
    """One entry of the `errors` array of a refused request."""

    message: str
    field: str | None = None
    help: str | None = None


class RefusedRequestError(Exception):
    """A request that the real service would answer with `status_code` and these errors."""

    def __init__(self, status_code: int, *errors: ApiError) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.status_code = status_code
        self.errors = errors


@dataclass(frozen=True)
class ParsedMessage:
    """One message to one recipient; `request` is what else the request said about it, without bodies."""

    from_email: str
    to_email: str
    subject: str
    html: str | None
    plain: str | None
    categories: tuple[str, ...]
    custom_args: dict[str, str]
    headers: dict[str, str]
    request: dict[str, object]


@dataclass(frozen=True)
class ParsedRequest:
    messages: tuple[ParsedMessage, ...]
    is_sandboxed: bool


def parse_request(body: bytes, content_type: str) -> ParsedRequest:
    """Read one Mail Send request.

    Raises:
        RefusedRequestError: with 413, 415 or 400 and everything that is wrong, in SendGrid's shape.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise RefusedRequestError(415, ApiError("Content-Type should be application/json.", None, _HELP))
    if len(body) > MAX_BYTES:
        raise too_large()
    payload = _parsed_json(body)
    try:
        request = _Request.model_validate(payload)
    except ValidationError as error:
        raise RefusedRequestError(400, *_errors(error)) from error
    problems = [*_content_errors(request), *_category_errors(request), *_recipient_errors(request)]
    problems += [problem for index in range(len(request.personalizations)) for problem in _part_errors(request, index)]
    if problems:
        raise RefusedRequestError(400, *problems)
    return ParsedRequest(tuple(_messages(request)), request.mail_settings.sandbox_mode.enable)


def too_large() -> RefusedRequestError:
    """The refusal of a request over `MAX_BYTES`."""
    return RefusedRequestError(413, ApiError("The JSON payload you have included in your request is too large."))


def _parsed_json(body: bytes) -> object:
    """The JSON in `body`, which PostgreSQL can hold: no NUL, no half surrogate pair, no number that is none."""
    try:
        payload: object = json.loads(body, parse_constant=_refuse_constant)
        # fails for half a surrogate pair, and for a number too large to be one
        json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise RefusedRequestError(400, ApiError("Bad Request")) from error
    _check_storable(payload)
    return payload


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_storable(payload: object) -> None:
    # a stack of its own instead of recursion, because it is depth that is looked for
    waiting = [(payload, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise RefusedRequestError(400, ApiError(f"Bad Request: the JSON is nested more than {_MAX_DEPTH} levels."))
        if isinstance(one, str) and "\x00" in one:
            raise RefusedRequestError(400, ApiError("Bad Request: the character NUL cannot be sent."))
        if isinstance(one, dict):
            waiting += [(part, depth + 1) for pair in one.items() for part in pair]
        elif isinstance(one, list):
            waiting += [(part, depth + 1) for part in one]


def _messages(request: _Request) -> Iterator[ParsedMessage]:
    parts = {content.type: content.value for content in request.content}
    rest = _without_bodies(request)
    for one in request.personalizations:
        own = one.model_dump(by_alias=True, exclude_unset=True, mode="json")
        for recipient in one.recipients:
            yield ParsedMessage(
                from_email=(one.sender or request.sender).email,
                to_email=recipient.email,
                subject=one.subject or request.subject or "",
                html=parts.get("text/html"),
                plain=parts.get("text/plain"),
                categories=tuple(request.categories),
                custom_args={**request.custom_args, **one.custom_args},
                headers={**request.headers, **one.headers},
                request={**rest, "personalizations": [own]},
            )


def _without_bodies(request: _Request) -> dict[str, object]:
    """The request but for its personalizations, and for what would be stored once a recipient: bodies and files."""
    rest: dict[str, object] = request.model_dump(
        by_alias=True, exclude_unset=True, mode="json", exclude={"personalizations", "content", "attachments"}
    )
    if request.attachments:
        rest["attachments"] = [
            {"filename": file.filename, "type": file.type, "base64_length": len(file.content)}
            for file in request.attachments
        ]
    return rest


def _content_errors(request: _Request) -> Iterator[ApiError]:
    if not request.content and request.template_id is None:
        yield ApiError(
            "Unless a valid template_id is provided, the content parameter is required. There must be at least one "
            "defined content block.",
            "content",
            f"{_HELP}#message.content",
        )
    types = [content.type for content in request.content]
    if types != sorted(types, key=lambda kind: {"text/plain": 0, "text/html": 1}.get(kind, 2)):
        yield ApiError(
            "If present, text/plain must be the first content block, and text/html the next one.",
            "content",
            f"{_HELP}#message.content.type",
        )
    if any(types.count(kind) > 1 for kind in ("text/plain", "text/html")):
        yield ApiError(
            "If present, text/plain and text/html may only be provided once.",
            "content",
            f"{_HELP}#message.content.type",
        )
    if request.reply_to is not None and request.reply_to_list:
        yield ApiError("Either reply_to or reply_to_list may be used, not both.", "reply_to_list", _HELP)


def _category_errors(request: _Request) -> Iterator[ApiError]:
    if len(set(request.categories)) < len(request.categories):
        yield ApiError("The category names must be unique.", "categories", f"{_HELP}#message.categories")
    for index, category in enumerate(request.categories):
        if not category or not category.isascii():
            yield ApiError(
                "A category name must be a string of ASCII characters, and not empty.", f"categories.{index}",
                f"{_HELP}#message.categories",
            )  # fmt: skip


def _recipient_errors(request: _Request) -> Iterator[ApiError]:
    if sum(len(one.recipients) for one in request.personalizations) > _MAX_RECIPIENTS:
        yield ApiError(
            "There is a limit of 1000 total recipients (to + cc + bcc) per request.",
            "personalizations",
            f"{_HELP}#message.personalizations",
        )


def _part_errors(request: _Request, index: int) -> Iterator[ApiError]:
    one = request.personalizations[index]
    field = f"personalizations.{index}"
    if not (one.subject or request.subject or request.template_id):
        yield ApiError(
            "The subject is required. You can get around this requirement if you use a template with a subject "
            "defined or if every personalization has a subject defined.",
            "subject",
            f"{_HELP}#message.subject",
        )
    counts = Counter(recipient.email.lower() for recipient in one.recipients)
    twice = next((address for address, count in counts.items() if count > 1), None)
    if twice is not None:
        yield ApiError(
            "Each email address in the personalization block should be unique between to, cc, and bcc. We found the "
            f"first duplicate instance of [{twice}] in the {field} field.",
            field,
            f"{_HELP}#message.recipient-errors",
        )
    if (
        len(json.dumps({**request.custom_args, **one.custom_args}, ensure_ascii=False).encode())
        > _MAX_CUSTOM_ARGS_BYTES
    ):
        yield ApiError(
            "The total length of custom arguments must be less than 10000 bytes.",
            f"{field}.custom_args",
            f"{_HELP}#message.custom_args",
        )


def _errors(error: ValidationError) -> list[ApiError]:
    found = []
    for one in error.errors(include_url=False, include_context=False):
        parts = [str(part) for part in one["loc"]]
        # a key of a dict is the sender's own text: only names of the API go into the link
        last = next((part for part in reversed(parts) if part.isidentifier()), "")
        found.append(ApiError(_words(one["type"], last, one["msg"]), ".".join(parts) or None, _help(last)))
    return found


def _words(kind: str, last: str, otherwise: str) -> str:
    if kind == "missing":
        return f"The {last} {'array' if last in ('personalizations', 'to') else 'object'} is required."
    if last == "personalizations" and kind == "too_long":
        return "The personalization block is limited to 1000 personalizations per API request."
    if last in ("personalizations", "to") and kind == "too_short":
        return f"The {last} array is required, and must have at least one entry."
    if last == "categories" and kind == "too_long":
        return "The number of categories is limited to 10."
    if last == "value" and kind in ("string_too_short", "string_type"):
        return "The content value must be a string at least one character in length."
    if last == "email":
        return "Does not contain a valid address."
    if not last:
        return "Bad Request"
    return f"Bad Request: {otherwise.removeprefix('Value error, ')}"


def _help(last: str) -> str | None:
    return f"{_HELP}#message.{last}" if last else None
