"""What the local endpoint has accepted: activation.captured_messages, written before the 202 and read by its pages.

In: parsed messages. Out: rows. Only the local endpoint uses this; senders ask its API, as they would SendGrid's.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow, class_row
from psycopg.sql import SQL, Composed
from psycopg.types.json import Jsonb

from activation.channels.email.mail_send import ParsedMessage

# where SendGrid names the machine that processed a message, after the id of the request
_PROCESSED_BY = ".local-"

# a message's campaign as people look for it: what campaigns label theirs with, else what any sender may
_CAMPAIGN = "coalesce(nullif(custom_args ->> 'campaign_id', ''), categories[1], '')"


@dataclass(frozen=True)
class MessageSummary:
    """A line of the mailbox and of the activity API."""

    provider_message_id: str
    accepted_at: datetime
    from_email: str
    to_email: str
    subject: str
    campaign: str

    @property
    def activity_id(self) -> str:
        """The id under which the activity API lists it: that of the request, and where it was processed."""
        own = self.provider_message_id
        return own if _PROCESSED_BY in own else f"{own}{_PROCESSED_BY}0"


@dataclass(frozen=True)
class CapturedMessage:
    provider_message_id: str
    accepted_at: datetime
    from_email: str
    to_email: str
    subject: str
    html: str | None
    plain: str | None
    categories: Sequence[str]
    custom_args: Mapping[str, str]
    headers: Mapping[str, str]
    payload: Mapping[str, object]


@dataclass(frozen=True)
class MailboxFilter:
    """What a person looks for; empty means everything."""

    campaign: str = ""
    recipient: str = ""

    @property
    def condition(self) -> Composed:
        """The filter as SQL, to be run with `values`."""
        return SQL(
            "(%(campaign)s = '' or {campaign} = %(campaign)s or %(campaign)s = any(categories)) "
            "and (%(recipient)s = '' or position(lower(%(recipient)s) in lower(to_email)) > 0)"
        ).format(campaign=SQL(_CAMPAIGN))

    @property
    def values(self) -> dict[str, object]:
        return {"campaign": self.campaign, "recipient": self.recipient}


@dataclass(frozen=True)
class CampaignCount:
    campaign: str
    count: int


def store(connection: Connection[DictRow], messages: Sequence[ParsedMessage], accepted_at: datetime) -> str:
    """Keep the messages of one request, all or none; on disk when this returns. Returns the request's message id."""
    message_id = secrets.token_urlsafe(16)
    rows = [
        (
            message_id if index == 0 else f"{message_id}{_PROCESSED_BY}{index}",
            accepted_at, one.from_email, one.to_email, one.subject, one.html, one.plain, list(one.categories),
            Jsonb(one.custom_args), Jsonb(one.headers), Jsonb(one.request),
        )
        for index, one in enumerate(messages)
    ]  # fmt: skip
    statement = """
        insert into activation.captured_messages (
            provider_message_id, accepted_at, from_email, to_email, subject, html, plain, categories, custom_args,
            headers, payload
        )
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    """
    if len(rows) == 1:
        # a transaction of its own, in one round trip
        connection.execute(statement, rows[0])
    else:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(statement, rows)
    return message_id


def stored_id(activity_id: str) -> str:
    """The row's id of what the activity API calls `activity_id`."""
    return activity_id.removesuffix(f"{_PROCESSED_BY}0")


def list_messages(
    connection: Connection[DictRow], condition: Composed, values: Mapping[str, object], *, limit: int, offset: int = 0
) -> list[MessageSummary]:
    """The messages that `condition` picks, newest first."""
    statement = SQL(
        "select provider_message_id, accepted_at, from_email, to_email, subject, {campaign} as campaign "
        "from activation.captured_messages where {condition} "
        "order by accepted_at desc, provider_message_id limit %(limit)s offset %(offset)s"
    ).format(campaign=SQL(_CAMPAIGN), condition=condition)
    with connection.cursor(row_factory=class_row(MessageSummary)) as cursor:
        return cursor.execute(statement, {**values, "limit": limit, "offset": offset}).fetchall()


def count_messages(connection: Connection[DictRow], mailbox_filter: MailboxFilter) -> int:
    statement = SQL("select count(*) as n from activation.captured_messages where {condition}").format(
        condition=mailbox_filter.condition
    )
    row = connection.execute(statement, mailbox_filter.values).fetchone()
    assert row is not None
    return int(row["n"])


def count_by_campaign(connection: Connection[DictRow]) -> list[CampaignCount]:
    """How many messages each campaign has sent, the largest first."""
    statement = SQL(
        "select {campaign} as campaign, count(*) as count from activation.captured_messages "
        "group by 1 order by 2 desc, 1"
    ).format(campaign=SQL(_CAMPAIGN))
    with connection.cursor(row_factory=class_row(CampaignCount)) as cursor:
        return cursor.execute(statement).fetchall()


def read_message(connection: Connection[DictRow], provider_message_id: str) -> CapturedMessage | None:
    with connection.cursor(row_factory=class_row(CapturedMessage)) as cursor:
        return cursor.execute(
            """
            select
                provider_message_id, accepted_at, from_email, to_email, subject, html, plain, categories, custom_args,
                headers, payload
            from activation.captured_messages
            where provider_message_id = %s
            """,
            (provider_message_id,),
        ).fetchone()
