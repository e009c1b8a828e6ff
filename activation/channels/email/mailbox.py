"""The mailbox page: what the local endpoint has accepted, as a recipient would see it.

In: requests of people. Out: the list with its filters, one message, and the message's HTML in a document of its own in
which nothing can run, load or reach out.
"""

import re
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from activation.channels.email.captured_messages import (
    CapturedMessage,
    MailboxFilter,
    count_by_campaign,
    count_messages,
    list_messages,
    read_message,
)
from activation.channels.email.endpoint_runtime import EndpointDep, EndpointRuntime

router = APIRouter(include_in_schema=False)

_PAGE_SIZE = 50
_Text = Annotated[str, Query(max_length=300, pattern=r"^[^\x00]*$")]
_MessageId = Annotated[str, Path(max_length=200, pattern=r"^[\w.-]+$")]

# What a stranger wrote: styles and inline images show, nothing else loads, nothing runs, whoever opens it.
_MESSAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_HEAD = re.compile(r"<head(?:\s[^>]*)?>", re.IGNORECASE)
_NO_HTML = "<!doctype html><title>No HTML</title><p>This message has no HTML part."


@router.get("/", response_class=HTMLResponse)
def show_mailbox(
    runtime: EndpointDep,
    campaign: _Text = "",
    recipient: _Text = "",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> Response:
    chosen = MailboxFilter(campaign=campaign, recipient=recipient.strip())
    with runtime.warehouse.connection(wait_seconds=2.0) as connection:
        counts = count_by_campaign(connection)
        found_count = count_messages(connection, chosen)
        page_count = max(1, -(-found_count // _PAGE_SIZE))
        page = min(page, page_count)
        messages = list_messages(
            connection, chosen.condition, chosen.values, limit=_PAGE_SIZE, offset=(page - 1) * _PAGE_SIZE
        )
    return runtime.pages.render(
        "mailbox.html",
        here=_here(runtime),
        chosen=chosen,
        counts=counts,
        total_count=sum(one.count for one in counts),
        found_count=found_count,
        messages=messages,
        page=page,
        page_count=page_count,
        address_of=lambda number: _address(chosen, number),
    )


@router.get("/messages/{message_id}", response_class=HTMLResponse)
def show_message(message_id: _MessageId, runtime: EndpointDep) -> Response:
    return runtime.pages.render("mailbox_message.html", here=_here(runtime), message=_message(message_id, runtime))


@router.get("/messages/{message_id}/html", response_class=HTMLResponse)
def show_html(message_id: _MessageId, runtime: EndpointDep) -> Response:
    message = _message(message_id, runtime)
    html = _HEAD.sub(lambda head: f'{head.group()}<base target="_blank">', message.html or _NO_HTML, count=1)
    return HTMLResponse(html, headers=_MESSAGE_HEADERS)


def _message(message_id: str, runtime: EndpointRuntime) -> CapturedMessage:
    with runtime.warehouse.connection(wait_seconds=2.0) as connection:
        message = read_message(connection, message_id)
    if message is None:
        raise HTTPException(404, "The mailbox holds no such message; it may have been emptied since.")
    return message


def _address(chosen: MailboxFilter, page: int) -> str:
    values = {"campaign": chosen.campaign, "recipient": chosen.recipient, "page": page if page > 1 else ""}
    filled = {name: value for name, value in values.items() if value}
    return f"/?{urlencode(filled)}" if filled else "/"


def _here(runtime: EndpointRuntime) -> str:
    """The mailbox's own address among the links of the header."""
    return f"http://localhost:{runtime.settings.email_port}/"
