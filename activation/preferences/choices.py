"""What a subscriber allows, by purpose: read as it stands now, and changed.

In: a subscriber's present or a former id, and the choices made. Out: `Preferences`, and rows of
activation.preference_changes, which serving looks at in every request and campaigns before every send, and which
ingestion reads back as consents.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from psycopg import Connection
from psycopg.rows import DictRow

from activation.preferences.texts import newest_texts

ChangedVia = Literal["preference_centre", "one_click_unsubscribe", "unsubscribe_all"]


TEXTS = newest_texts()
PURPOSES = TEXTS.purposes
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


# What the warehouse holds, and what was chosen since. A word counts from the moment from which the warehouse says so; a
# regional default, which has none, gives way to any; a lock to nothing (docs/consent.md).
_CURRENT = """
select distinct on (purpose) purpose, is_permitted, is_said
from (
    select purpose, is_permitted, is_said, effective_at, is_locked
    from marts.fct_consents
    where subscriber_id = activation.present_id(%(id)s)
    union all
    select purpose, is_granted, true, changed_at, false
    from activation.preference_changes
    where subscriber_id = any(activation.ids_of(%(id)s))
) as said
order by purpose, is_locked desc, effective_at desc nulls last, is_permitted
"""

_FACTS = """
select
    subscriber_id, email, age_band, gender, occupation, country, plan, subscription_status, lifecycle_stage,
    last_active_at, identifier_count, is_simulated,
    (select count(*) from marts.fct_interactions as i where i.subscriber_id = s.subscriber_id) as interaction_count,
    (
        select array_agg(genre order by share::float8 desc)
        from jsonb_each_text(coalesce(genre_affinities, '{}')) as affinities (genre, share)
    ) as genres
from marts.dim_subscribers as s
where subscriber_id = activation.present_id(%(id)s)
"""


def read_preferences(connection: Connection[DictRow], subscriber_id: str) -> Preferences | None:
    """What is known and allowed now; None when the profiles no longer have this subscriber."""
    row = connection.execute(_FACTS, {"id": subscriber_id}).fetchone()
    if row is None:
        return None
    present_id = row.pop("subscriber_id")
    facts = KnownFacts(
        masked_email=_masked(row.pop("email")),
        top_genres=tuple(row.pop("genres") or ())[:3],
        **row,
    )
    return Preferences(present_id, facts, read_granted(connection, subscriber_id))


def read_granted(connection: Connection[DictRow], subscriber_id: str) -> frozenset[str]:
    """The purposes allowed now: the newest word on each, wherever it was said, or else the region's default."""
    rows = connection.execute(_CURRENT, {"id": subscriber_id})
    return frozenset(row["purpose"] for row in rows if row["is_permitted"])


def record_choices(
    connection: Connection[DictRow],
    subscriber_id: str,
    choices: Mapping[str, bool],
    changed_via: ChangedVia,
    now: datetime,
) -> int:
    """Store each choice that differs from what holds; returns how many did. A repeated call changes nothing.

    It is stored under the id that the link had: should joined profiles be parted again, each keeps what it was told.
    """
    with connection.transaction():
        # two windows of one subscriber take turns, so that the newest row is the newest click
        connection.execute(
            "select pg_advisory_xact_lock(hashtextextended('preferences ' || activation.present_id(%s), 0))",
            (subscriber_id,),
        )
        rows = connection.execute(_CURRENT, {"id": subscriber_id}).fetchall()
        permitted = {row["purpose"]: row["is_permitted"] for row in rows}
        said = {row["purpose"] for row in rows if row["is_said"]}
        # a form lists every purpose: leaving off what was never permitted, or on what always was, says nothing new; one
        # button says its one word, which stands even where a default says the same
        changed = {
            name: wanted
            for name, wanted in choices.items()
            if permitted.get(name, False) is not wanted or (len(choices) == 1 and name not in said)
        }
        connection.cursor().executemany(
            "insert into activation.preference_changes "
            "(subscriber_id, purpose, is_granted, changed_via, text_version, changed_at) "
            "values (%s, %s, %s, %s, %s, %s)",
            [
                (subscriber_id, name, is_granted, changed_via, TEXTS.version, now)
                for name, is_granted in changed.items()
            ],
        )
    return len(changed)


def _masked(email: str | None) -> str | None:
    """An address that its owner recognises and nobody else can use."""
    if not email or "@" not in email:
        return None
    name, _, domain = email.partition("@")
    return f"{name[0]}{'•' * 5}@{domain}"
