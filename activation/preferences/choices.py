"""What a subscriber allows, by purpose: read as it stands now, and changed.

In: a subscriber id and the choices made. Out: `Preferences`, and rows of activation.preference_changes, which serving
looks at in every request and campaigns before every send, and which ingestion reads back as consents.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from psycopg import Connection
from psycopg.rows import DictRow

ChangedVia = Literal["preference_centre", "one_click_unsubscribe", "unsubscribe_all"]


@dataclass(frozen=True)
class Purpose:
    """A purpose for which data may be used, in a subscriber's words."""

    name: str
    title: str
    explanation: str
    without: str


PURPOSES = (
    Purpose(
        "personalization",
        "Recommendations made for you",
        "We use what you watch, read and listen to, to choose what stands on your homepage and in your emails.",
        "Off: you see what is popular this week instead.",
    ),
    Purpose(
        "email_marketing",
        "Emails with suggestions",
        "We write when there is something new for you, at most a few times a month.",
        "Off: we send no suggestions. Receipts and service messages still reach you.",
    ),
    Purpose(
        "advertising",
        "Advertising that fits you",
        "We let what you watch decide which advertising you see, here and on partner sites.",
        "Off: you may see advertising, but it knows nothing about you.",
    ),
    Purpose(
        "analytics",
        "Helping us improve",
        "We count how the service is used, to find what does not work well.",
        "Off: your visits are left out of these counts.",
    ),
)
PURPOSE_NAMES = tuple(purpose.name for purpose in PURPOSES)


@dataclass(frozen=True)
class KnownFacts:
    """What the unified profile says of a subscriber, without the email address itself."""

    masked_email: str | None
    age_band: str | None
    gender: str | None
    occupation: str | None
    country: str | None
    plan: str | None
    subscription_status: str | None
    lifecycle_stage: str | None
    last_active_at: datetime | None
    identifier_count: int
    interaction_count: int
    top_genres: tuple[str, ...]
    is_simulated: bool


@dataclass(frozen=True)
class Preferences:
    subscriber_id: str
    facts: KnownFacts
    granted: frozenset[str] = field(default=frozenset())


_CURRENT = """
select distinct on (purpose) purpose, is_granted
from (
    select purpose, is_granted, recorded_at as said_at from marts.fct_consents where subscriber_id = %(id)s
    union all
    select purpose, is_granted, changed_at from activation.preference_changes where subscriber_id = %(id)s
) as said
order by purpose, said_at desc, is_granted
"""

_FACTS = """
select
    email, age_band, gender, occupation, country, plan, subscription_status, lifecycle_stage, last_active_at,
    identifier_count, is_simulated,
    (select count(*) from marts.fct_interactions as i where i.subscriber_id = s.subscriber_id) as interaction_count,
    (
        select array_agg(genre order by share::float8 desc)
        from jsonb_each_text(coalesce(genre_affinities, '{}')) as affinities (genre, share)
    ) as genres
from marts.dim_subscribers as s
where subscriber_id = %(id)s
"""


def read_preferences(connection: Connection[DictRow], subscriber_id: str) -> Preferences | None:
    """What is known and allowed now; None when the profiles no longer have this subscriber."""
    row = connection.execute(_FACTS, {"id": subscriber_id}).fetchone()
    if row is None:
        return None
    facts = KnownFacts(
        masked_email=_masked(row.pop("email")),
        top_genres=tuple(row.pop("genres") or ())[:3],
        **row,
    )
    return Preferences(subscriber_id, facts, read_granted(connection, subscriber_id))


def read_granted(connection: Connection[DictRow], subscriber_id: str) -> frozenset[str]:
    """The purposes allowed now: the newest word on each, wherever it was said."""
    rows = connection.execute(_CURRENT, {"id": subscriber_id})
    return frozenset(row["purpose"] for row in rows if row["is_granted"])


def record_choices(
    connection: Connection[DictRow],
    subscriber_id: str,
    choices: Mapping[str, bool],
    changed_via: ChangedVia,
    now: datetime,
) -> int:
    """Store each choice that differs from what holds; returns how many did. A repeated call changes nothing."""
    with connection.transaction():
        # two windows of one subscriber take turns, so that the newest row is the newest click
        connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"preferences {subscriber_id}",))
        said = {row["purpose"]: row["is_granted"] for row in connection.execute(_CURRENT, {"id": subscriber_id})}
        changed = {name: wanted for name, wanted in choices.items() if said.get(name) is not wanted}
        # a form lists every purpose: leaving off what was never granted says nothing new
        changed = {name: wanted for name, wanted in changed.items() if wanted or name in said or len(choices) == 1}
        connection.cursor().executemany(
            "insert into activation.preference_changes (subscriber_id, purpose, is_granted, changed_via, changed_at) "
            "values (%s, %s, %s, %s, %s)",
            [(subscriber_id, name, is_granted, changed_via, now) for name, is_granted in changed.items()],
        )
    return len(changed)


def _masked(email: str | None) -> str | None:
    """An address that its owner recognises and nobody else can use."""
    if not email or "@" not in email:
        return None
    name, _, domain = email.partition("@")
    return f"{name[0]}{'•' * 5}@{domain}"
