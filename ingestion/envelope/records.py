"""The extracts of the CRM, the consent register and the survey tool, with each system's own faults.

In: `People`. Out: CSV text, ready to be written, and the CRM ids that belong to somebody (for the truth).
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ingestion.envelope.people import PURPOSES, People, spell

SHARED_EMAIL = "test@example.com"

_DAY = 86_400
_CRM_COLUMNS = (
    "crm_id", "user_id", "email", "phone", "first_name", "birth_year", "gender", "occupation", "postal_code",
    "country", "timezone", "created_at", "updated_at", "is_simulated",
)  # fmt: skip
_GENDER_CODES = {"F": ("F", "F", "female", "f", "Female"), "M": ("M", "M", "male", "m", "Male")}


@dataclass(frozen=True)
class CrmExtract:
    """Text of the CRM's CSV file, and whose each CRM id is."""

    text: str
    owners: dict[str, str]


def crm_extract(people: People, anchor: int, seed: int) -> CrmExtract:
    """Contacts: one a person, one in 25 twice under another id, a shared test address, leads, and impossible dates."""
    random = np.random.default_rng([seed, 4])
    rows: list[tuple[str, ...]] = []
    owners: dict[str, str] = {}
    extra_number = len(people.known) + len(people.leads)
    anchor_year = datetime.fromtimestamp(anchor, UTC).year
    shared = set(random.choice(len(people.known), min(15, len(people.known) // 20), replace=False).tolist())
    for index, person in enumerate(people.known):
        contact = (
            person.crm_id,
            person.user_id,
            spell(person.email, random),
            _spell_phone(person.phone, random),
            person.first_name,
            _spell_birth_year(anchor_year - person.age, random),
            "" if random.random() < 0.05 else str(random.choice(_GENDER_CODES[person.gender])),
            person.occupation,
            person.postal_code if person.country == "US" else "",
            person.country if random.random() < 0.97 else person.country.lower(),
            person.timezone,
            _spell_moment(person.created_at, random),
            iso(min(anchor, person.created_at + int(random.exponential(10 * _DAY)))),
            "true",
        )
        rows.append(contact)
        owners[person.crm_id] = person.user_id
        is_twin = bool(person.email) and random.random() < 0.04
        if is_twin or index in shared:
            extra_number += 1
            crm_id = f"crm-{extra_number:06d}"
            owners[crm_id] = person.user_id
            # the twin knows the address only; a test contact knows the account and an address that many have
            user_id, email = ("", spell(person.email, random)) if is_twin else (person.user_id, SHARED_EMAIL)
            later = iso(min(anchor, person.created_at + 40 * _DAY))
            rows.append((crm_id, user_id, email, "", person.first_name, *contact[5:12], later, "true"))
    for lead in people.leads:
        moment = iso(lead.created_at)
        rows.append(
            (lead.crm_id, "", spell(lead.email, random), "", lead.first_name, *[""] * 6, moment, moment, "true")
        )
        owners[lead.crm_id] = lead.person_id
    for number, moment in enumerate(("0000-00-00 00:00:00", "31/02/2026 10:00", "soon"), 1):
        rows.append((f"crm-bad-{number}", "", "", "", "", "", "", "", "", "", "", "", moment, "true"))
    rows.append(("", "", "nobody@example.com", *[""] * 9, iso(anchor), "true"))
    return CrmExtract(_csv(_CRM_COLUMNS, rows), owners)


def consent_rows(people: People, seed: int) -> str:
    """CSV of consent by identifier, purpose and region, with the text of the year; a revocation is a newer row."""
    random = np.random.default_rng([seed, 6])
    rows: list[tuple[str, ...]] = []

    def say(kind: str, value: str, purpose: str, region: str, verdict: str, moment: float) -> None:
        recorded_at = iso(moment)
        rows.append((kind, value, purpose, region, verdict, f"sign-up {recorded_at[:4]}", recorded_at, "true"))

    for index, person in enumerate(people.known):
        by_email = bool(person.email) and random.random() < 0.15
        kind, value = ("email", spell(person.email, random)) if by_email else ("user_id", person.user_id)
        for column, purpose in enumerate(PURPOSES):
            verdict = "granted" if people.granted[index, column] else "denied"
            say(kind, value, purpose, person.region, verdict, person.created_at)
            revoked_at = people.revoked_at[index, column]
            if np.isfinite(revoked_at):
                say(kind, value, purpose, person.region, "denied", revoked_at)
    for lead in people.leads:
        say("email", lead.email, "email_marketing", "us", "granted", lead.created_at)
    say("user_id", "u-1", "telepathy", "us", "granted", 0)
    say("user_id", "u-1", "analytics", "us", "perhaps", 0)
    columns = (
        "identifier_kind", "identifier", "purpose", "region", "status", "text_version", "recorded_at", "is_simulated",
    )  # fmt: skip
    return _csv(columns, rows)


def survey_rows(people: People, anchor: int, seed: int) -> str:
    """CSV of survey answers of about a quarter of the people."""
    random = np.random.default_rng([seed, 7])
    rows: list[tuple[str, ...]] = []
    for person in people.known:
        if random.random() > 0.25:
            continue
        moment = int(random.uniform(person.first_at, anchor + 1))
        user_id, email = (person.user_id, "") if random.random() < 0.6 else ("", spell(person.email, random))
        if not (user_id or email):
            continue
        rows.append((user_id, email, "likelihood_to_recommend", str(random.integers(0, 11)), iso(moment), "true"))
        often = str(random.choice(["daily", "weekly", "monthly", "rarely"]))
        rows.append((user_id, email, "how_often_do_you_watch", often, iso(moment), "true"))
    rows.append(("", "", "", "9", iso(anchor), "true"))
    return _csv(("user_id", "email", "question", "answer", "answered_at", "is_simulated"), rows)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def iso(epoch: float) -> str:
    """Epoch seconds as the systems write a moment."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _spell_moment(epoch: int, random: np.random.Generator) -> str:
    moment = datetime.fromtimestamp(int(epoch), UTC)
    pattern = random.choice(
        ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M", "%d %b %Y %H:%M:%S", ""],
        p=[0.6, 0.2, 0.1, 0.08, 0.02],
    )
    return moment.strftime(str(pattern))


def _spell_phone(phone: str, random: np.random.Generator) -> str:
    if not phone or random.random() < 0.6:
        return phone
    return f"+44 {phone[3:7]} {phone[7:]}" if random.random() < 0.5 else f"0044-{phone[3:]}"


def _spell_birth_year(year: int, random: np.random.Generator) -> str:
    draw = random.random()
    if draw < 0.02:
        return ""
    return str(year % 100).zfill(2) if draw < 0.03 else str(year)
