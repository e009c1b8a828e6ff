"""Sends email through SendGrid's official client, or through the local endpoint that speaks the same API.

In: an `EmailMessage`. Out: the provider's message id, or an error that says which of four things is true: the message
was refused, it surely did not go, nobody knows whether it went, or the provider cannot be asked. Only what surely did
not go is tried again.
"""

import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr, parsedate_to_datetime
from typing import Protocol, TypeVar

import httpx
import structlog
from pydantic import BaseModel, ValidationError
from python_http_client.exceptions import HTTPError
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Category, CustomArg, Email, Header, Mail, To
from sendgrid.helpers.mail.exceptions import SendGridException

from activation.channels.email.api_key import api_key
from activation.channels.email.message import EmailMessage
from activation.channels.email.transport import TIMEOUT, ReusingClient, open_connections
from marquee.clock import utc_now
from marquee.errors import MarqueeError
from marquee.settings import Settings

_log = structlog.get_logger()
_T = TypeVar("_T")

_ATTEMPTS = 6
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
# a provider that wants to be left alone for longer than this is a matter for the scheduler's retry
_LONGEST_ASKED_SECONDS = 120.0
_YEAR_SECONDS = 365 * 24 * 3600.0
# the provider's word that it did not take the request; a gateway's 502 or 504 is no such word: it lost sight of it
_NOT_ACCEPTED = frozenset({408, 429, 500, 503})
_LOST_SIGHT = frozenset({502, 504})
# the message itself is at fault; any other 4xx is about the key, the account or the address of the API
_ABOUT_THE_MESSAGE = frozenset({400, 413, 422})
_ADDRESS = re.compile(r"[^\s\"'<>\[\](),;:@]+@[^\s\"'<>\[\](),;:@]+")
# no byte of the request has left: nobody can have accepted it
_UNREACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_UNASKED = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)
_PLAIN_ID = re.compile(r"[\w.:-]{1,200}", re.ASCII)


class EmailError(MarqueeError):
    """A message did not go out as it should."""


class MessageRefusedError(EmailError):
    """The provider refuses this message for good; says field and reason, never an address."""


class ProviderUnavailableError(EmailError):
    """The provider surely did not accept the message, after all retries."""


class AccountRefusedError(ProviderUnavailableError):
    """The provider refuses key, account or sender: no message goes until a setting is put right."""


class OutcomeUnknownError(EmailError):
    """The connection failed after the request may have been read: the message may have been accepted."""


class ActivityUnavailableError(EmailError):
    """The provider cannot be asked what it accepted: the account lacks the Email Activity API, or it is down."""


class _TryAgainError(Exception):
    """A failure of the moment; `problem` is what it becomes when it lasts."""

    def __init__(self, problem: EmailError, asked_wait: float = 0.0) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.asked_wait = asked_wait


class _Problem(BaseModel):
    message: str = ""
    field: str | None = None


class _RefusedAnswer(BaseModel):
    errors: list[_Problem] = []


class _Activity(BaseModel):
    msg_id: str


class _ActivityAnswer(BaseModel):
    messages: list[_Activity]


class _Response(Protocol):
    status_code: int
    body: bytes
    headers: Mapping[str, str]


class EmailSender:
    """Sends over connections that it keeps open; may be shared by threads.

    `sleep`, `now` and `jitter` (a number from 0 to 1) are handed in by tests that do not want to wait.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        timeout: httpx.Timeout = TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = utc_now,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._from_name, self._from_email = parseaddr(settings.email_from)
        if "@" not in self._from_email:
            raise EmailError("MARQUEE_EMAIL_FROM holds no email address; set it to `Name <address>`")
        self._sleep, self._now, self._jitter = sleep, now, jitter
        self._connections = open_connections(timeout)
        self._api = SendGridAPIClient(api_key(settings), host=settings.email_url)
        self._api.client = ReusingClient(
            self._connections, settings.email_url, dict(self._api.client.request_headers), path=[]
        )

    def send(self, message: EmailMessage) -> str:
        """Send one message and return the provider's id of it.

        Raises:
            MessageRefusedError: the message will never be accepted.
            ProviderUnavailableError: it was not accepted, and may be sent again later.
            OutcomeUnknownError: it may have been accepted; `find_message` can tell.
        """
        try:
            body = self._body(message)
        except SendGridException as error:
            raise MessageRefusedError("the client refuses the message: its content holds a SendGrid API key") from error
        return self._with_retries(lambda: self._post(body))

    def find_message(self, send_id: str) -> str | None:
        """The provider's id of the message whose custom argument send_id this is; None: the provider does not list it.

        Raises:
            ActivityUnavailableError: the provider does not tell.
        """
        if _PLAIN_ID.fullmatch(send_id) is None:
            raise ValueError("a send_id has letters, digits, '-', '_', ':' and '.' only")
        return self._with_retries(lambda: self._search(f"unique_args['send_id']=\"{send_id}\""))

    def close(self) -> None:
        self._connections.close()

    def _body(self, message: EmailMessage) -> dict[str, object]:
        recipient = To()
        # set, not parsed: the library would take a comma in an address for two of them
        recipient.email = message.to_email
        mail = Mail(Email(self._from_email, self._from_name or None), recipient, message.subject, message.plain,
                    message.html)  # fmt: skip
        for category in message.categories:
            mail.add_category(Category(category))
        for key, value in message.custom_args.items():
            mail.add_custom_arg(CustomArg(key, value))
        for key, value in message.headers.items():
            mail.add_header(Header(key, value))
        body: dict[str, object] = mail.get()
        return body

    def _post(self, body: dict[str, object]) -> str:
        try:
            response: _Response = self._api.send(body)
        except HTTPError as error:
            problem = _refusal(error)
            if isinstance(problem, AccountRefusedError) or not isinstance(problem, ProviderUnavailableError):
                raise problem from error
            raise _TryAgainError(problem, self._asked_wait(error.headers)) from error
        except _UNREACHED as error:
            problem = ProviderUnavailableError(f"the email provider cannot be reached ({_kind(error)})")
            raise _TryAgainError(problem) from error
        except _UNASKED as error:
            raise AccountRefusedError(f"no request can be made ({_kind(error)}); check SENDGRID_HOST") from error
        except httpx.HTTPError as error:
            raise OutcomeUnknownError(
                f"the connection failed while the email provider may have been reading ({_kind(error)})"
            ) from error
        if response.status_code != 202:
            raise AccountRefusedError(
                f"the email provider answers {response.status_code}, which accepts nothing; check SENDGRID_HOST"
            )
        # accepted, whether or not something on the way has taken the id off
        return response.headers.get("X-Message-Id") or ""

    def _search(self, query: str) -> str | None:
        try:
            response: _Response = self._api.client.messages.get(query_params={"query": query, "limit": "1"})
            found = _ActivityAnswer.model_validate_json(response.body).messages
        except HTTPError as error:
            problem = ActivityUnavailableError(
                f"the Email Activity API answers {error.status_code}; it is an extra of SendGrid's, and the key "
                "needs its permission"
            )
            if error.status_code in _NOT_ACCEPTED | _LOST_SIGHT:
                raise _TryAgainError(problem, self._asked_wait(error.headers)) from error
            raise problem from error
        except _UNASKED as error:
            raise ActivityUnavailableError(f"no request can be made ({_kind(error)}); check SENDGRID_HOST") from error
        except httpx.HTTPError as error:
            problem = ActivityUnavailableError(f"the Email Activity API cannot be reached ({_kind(error)})")
            raise _TryAgainError(problem) from error
        except ValidationError as error:
            raise ActivityUnavailableError("the Email Activity API answers in a shape that is not its own") from error
        # the activity's id is the id of the 202, and after a dot where it was processed
        return found[0].msg_id.partition(".")[0] if found else None

    def _with_retries(self, call: Callable[[], _T]) -> _T:
        """Call until it neither fails for the moment nor has failed too often; waits as asked, plus full jitter."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return call()
            except _TryAgainError as error:
                longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
                wait = error.asked_wait + longest * self._jitter()
                if attempt == _ATTEMPTS or error.asked_wait > _LONGEST_ASKED_SECONDS:
                    raise error.problem from error.__cause__
                _log.info("email provider will be asked again", reason=str(error.problem), attempt=attempt, wait=wait)
                self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _asked_wait(self, headers: Mapping[str, str]) -> float:
        """Seconds that Retry-After or X-RateLimit-Reset ask for; 0 without either."""
        now = self._now()
        for name in ("Retry-After", "X-RateLimit-Reset"):
            moment = _moment_of(headers.get(name, ""), now)
            if moment is not None:
                return max(0.0, (moment - now).total_seconds())
        return 0.0


def _refusal(error: HTTPError) -> EmailError:
    """What an answer of the provider other than success means for the message."""
    status: int = error.status_code
    if status in _NOT_ACCEPTED:
        return ProviderUnavailableError(f"the email provider answers {status} and has not accepted the message")
    if status in _LOST_SIGHT or status > 500:
        return OutcomeUnknownError(f"a gateway answers {status}: the email provider may have accepted the message")
    problems = _problems_in(error.body)
    reason = "; ".join(f"{one.field or 'request'}: {_without_addresses(one.message)}" for one in problems)
    if status in _ABOUT_THE_MESSAGE and not any((one.field or "").startswith("from") for one in problems):
        return MessageRefusedError(
            f"the email provider refuses the message with {status} ({reason or 'no reason given'})"
        )
    return AccountRefusedError(
        f"the email provider answers {status} ({reason or 'no reason given'}); check SENDGRID_API_KEY, SENDGRID_HOST "
        "and MARQUEE_EMAIL_FROM"
    )


def _problems_in(body: bytes) -> list["_Problem"]:
    try:
        return _RefusedAnswer.model_validate_json(body).errors
    except ValidationError:
        return []


def _without_addresses(text: str) -> str:
    return _ADDRESS.sub("[address]", text)


def _moment_of(text: str, now: datetime) -> datetime | None:
    """A header's moment: seconds from now, seconds since 1970 (SendGrid's own), or an HTTP date."""
    try:
        seconds = float(text)
        return datetime.fromtimestamp(seconds, UTC) if seconds > _YEAR_SECONDS else now + timedelta(seconds=seconds)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None


def _kind(error: Exception) -> str:
    """The kind of failure alone: its text may quote addresses."""
    return type(error).__name__
