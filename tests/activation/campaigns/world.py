"""A small media house for campaign tests: subscribers whom a campaign could concern, and what was sent to them.

Everybody consents, is deliverable and is due for `re_engagement` unless a test says otherwise.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import yaml
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from activation.campaigns import definitions
from activation.campaigns.definitions import Campaign, Cap
from tests.activation.serving.world import NOW, build_marts, join_profiles

CAMPAIGN = "re_engagement"
OCCURRENCE = "since:2026-01-20"
_SHIPPED = definitions.find_campaign(CAMPAIGN)

_CANDIDATES = """
create table marts.fct_campaign_candidates (
    campaign_id text, subscriber_id text, occurrence_key text, eligible_since timestamptz, reason text
)
"""


def build(connection: Connection[DictRow]) -> None:
    """The marts that campaigns read, with contents and nobody in them."""
    build_marts(connection, people=())
    connection.execute(_CANDIDATES.encode())
    connection.commit()


def email_hash(email: str) -> str:
    return hashlib.sha256(email.encode()).hexdigest()


def add_subscriber(
    connection: Connection[DictRow],
    subscriber_id: str,
    *,
    email: str | None = "",
    consents: bool | None = True,
    is_deliverable: bool = True,
    first_name: str | None = "Ada",
    is_simulated: bool = True,
) -> None:
    """One profile; an `email` of "" is made from the id, `consents` of None says nothing."""
    address = f"{subscriber_id}@example.org" if email == "" else email
    connection.execute(
        "insert into marts.dim_subscribers (subscriber_id, email, email_hash, first_name, is_email_deliverable, "
        "is_simulated, is_known, identifier_count, genre_affinities) values (%s, %s, %s, %s, %s, %s, true, 1, %s)",
        (
            subscriber_id, address, email_hash(address) if address else None, first_name, is_deliverable, is_simulated,
            Jsonb({}),
        ),
    )  # fmt: skip
    if consents is not None:
        for purpose in ("email_marketing", "personalization"):
            connection.execute(
                "insert into marts.fct_consents values (%s, %s, %s, %s)",
                (subscriber_id, purpose, consents, NOW - timedelta(days=60)),
            )


def add_candidate(
    connection: Connection[DictRow],
    subscriber_id: str,
    *,
    campaign_id: str = CAMPAIGN,
    occurrence_key: str = OCCURRENCE,
    since: datetime = NOW - timedelta(days=2),
    **profile: object,
) -> None:
    """A subscriber whom the campaign could concern."""
    add_subscriber(connection, subscriber_id, **profile)  # type: ignore[arg-type]
    add_occurrence(connection, subscriber_id, campaign_id, occurrence_key, since)


def add_occurrence(
    connection: Connection[DictRow],
    subscriber_id: str,
    campaign_id: str = CAMPAIGN,
    occurrence_key: str = OCCURRENCE,
    since: datetime = NOW - timedelta(days=2),
) -> None:
    connection.execute(
        "insert into marts.fct_campaign_candidates values (%s, %s, %s, %s, 'test')",
        (campaign_id, subscriber_id, occurrence_key, since),
    )


def add_send(
    connection: Connection[DictRow],
    subscriber_id: str,
    *,
    status: str = "sent",
    campaign_id: str = CAMPAIGN,
    category: str = "suggestions",
    occurrence_key: str = OCCURRENCE,
    email: str = "",
    run_key: str = "an earlier run",
    at: datetime = NOW - timedelta(days=40),
) -> str:
    """A row of activation.sends; returns its send_id."""
    row = connection.execute(
        "insert into activation.sends (campaign_id, category, subscriber_id, occurrence_key, email_hash, status, "
        "run_key, claimed_at) values (%s, %s, %s, %s, %s, %s, %s, %s) returning send_id",
        (
            campaign_id, category, subscriber_id, occurrence_key, email_hash(email or f"{subscriber_id}@example.org"),
            status, run_key, at,
        ),
    ).fetchone()  # fmt: skip
    assert row is not None
    return str(row["send_id"])


def withdraw(connection: Connection[DictRow], subscriber_id: str, at: datetime = NOW) -> None:
    """Consent to email withdrawn in the preference centre."""
    connection.execute(
        "insert into activation.preference_changes (subscriber_id, purpose, is_granted, changed_via, changed_at) "
        "values (%s, 'email_marketing', false, 'preference_centre', %s)",
        (subscriber_id, at),
    )


def join_candidates(connection: Connection[DictRow], former_id: str, present_id: str) -> None:
    """Two candidates turn out to be one person."""
    join_profiles(connection, former_id, present_id)
    connection.execute("delete from marts.fct_campaign_candidates where subscriber_id = %s", (former_id,))


def captured(connection: Connection[DictRow]) -> Mapping[str, list[DictRow]]:
    """What the provider took, by address."""
    messages: dict[str, list[DictRow]] = {}
    for row in connection.execute("select * from activation.captured_messages order by accepted_at"):
        messages.setdefault(row["to_email"], []).append(row)
    return messages


def statuses(connection: Connection[DictRow]) -> Mapping[str, str]:
    return {row["subscriber_id"]: row["status"] for row in connection.execute("select * from activation.sends")}


def campaign_of(**changes: object) -> Campaign:
    """The shipped re-engagement campaign with changes; without a holdout unless one is asked for."""
    return _SHIPPED.model_copy(update={"holdout_share": 0.0, "caps": (Cap(messages=1, days=7),), **changes})


def declare(folder: Path, **changes: object) -> Path:
    """A folder with the shipped re-engagement campaign in it, changed; returns the folder."""
    folder.mkdir(exist_ok=True)
    campaign = campaign_of(**changes)
    path = folder / f"{campaign.campaign_id}.yml"
    path.write_text(yaml.safe_dump(campaign.model_dump(mode="json")))
    return folder
