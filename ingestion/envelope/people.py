"""The people of the envelope: one row a MovieLens user, with simulated contact data, consent and plan.

In: MovieLens users and interactions, already on the demo's calendar. Out: `People`, the truth from which each system's
extract is then written with that system's faults. Age, gender, occupation and zip code are real, the rest simulated.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ingestion.envelope.rows import rows_of

PURPOSES = ("personalization", "email_marketing", "advertising", "analytics")

_GRANTED = {"personalization": 0.97, "email_marketing": 0.83, "advertising": 0.58, "analytics": 0.92}
_REVOKED = {"personalization": 0.02, "email_marketing": 0.04, "advertising": 0.05, "analytics": 0.02}
_FIRST_NAMES = [
    "Alex",
    "Amal",
    "Ana",
    "Ari",
    "Ash",
    "Bo",
    "Cam",
    "Chi",
    "Dani",
    "Eden",
    "Ela",
    "Emre",
    "Fen",
    "Finn",
    "Gray",
    "Ines",
    "Ivo",
    "Jules",
    "Kai",
    "Kim",
    "Kit",
    "Lea",
    "Lee",
    "Lian",
    "Lou",
    "Luca",
    "Mara",
    "Max",
    "Mei",
    "Milan",
    "Mina",
    "Nico",
    "Nima",
    "Noa",
    "Noor",
    "Oli",
    "Pat",
    "Quinn",
    "Ravi",
    "Remi",
    "Rin",
    "Robin",
    "Rowan",
    "Sam",
    "Sasha",
    "Sky",
    "Tal",
    "Toni",
    "Uma",
    "Val",
    "Wren",
    "Yael",
    "Yuki",
    "Zoe",
]
# country: share, region, time zones
_COUNTRIES: dict[str, tuple[float, str, tuple[str, ...]]] = {
    "US": (0.62, "us", ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles")),
    "DE": (0.09, "eu", ("Europe/Berlin",)),
    "FR": (0.07, "eu", ("Europe/Paris",)),
    "ES": (0.04, "eu", ("Europe/Madrid",)),
    "PL": (0.03, "eu", ("Europe/Warsaw",)),
    "GB": (0.06, "other", ("Europe/London",)),
    "CA": (0.04, "other", ("America/Toronto",)),
    "BR": (0.03, "other", ("America/Sao_Paulo",)),
    "JP": (0.02, "other", ("Asia/Tokyo",)),
}
_LEAD_COUNT = 20


@dataclass(frozen=True)
class Person:
    """Somebody with an account.

    `user_id` (`u-..`) is also the person_id; `email` is canonical, and like `phone` empty where the company has none;
    `first_at`, `last_at` (of the ratings) and `created_at` are epoch seconds.
    """

    user_id: str
    first_name: str
    email: str
    phone: str
    gender: str
    age: int
    occupation: str
    postal_code: str
    country: str
    region: str
    timezone: str
    plan: str
    crm_id: str
    billing_id: str
    first_at: int
    last_at: int
    created_at: int


@dataclass(frozen=True)
class Lead:
    """Somebody without an account; `created_at` is epoch seconds."""

    person_id: str
    first_name: str
    email: str
    crm_id: str
    created_at: int


@dataclass(frozen=True)
class People:
    """Who there is.

    Attributes:
        known: people with an account; elsewhere a person is their place here.
        leads: people without one.
        granted: (people, purposes) bool, what was granted at sign-up.
        revoked_at: (people, purposes) epoch seconds, infinite where never revoked.
    """

    known: list[Person]
    leads: list[Lead]
    granted: np.ndarray
    revoked_at: np.ndarray


def opaque_id(prefix: str, *parts: object) -> str:
    """A stable id that shows nothing of what it was made from."""
    digest = hashlib.blake2b("|".join(map(str, (prefix, *parts))).encode(), digest_size=8).hexdigest()
    return f"{prefix}-{digest}"


def make_people(users: pd.DataFrame, interactions: pd.DataFrame, anchor: int, seed: int) -> People:
    """Give every MovieLens user an identity in each system.

    Args:
        users: frame of `MovieLens.users`.
        interactions: user_id and timestamp on the demo's calendar (epoch seconds).
    """
    random = np.random.default_rng([seed, 1])
    spans = interactions.groupby("user_id")["timestamp"].agg(["min", "max"])
    known = users.merge(spans, left_on="user_id", right_index=True, how="inner").reset_index(drop=True)
    count = len(known)
    # most sign up within the hour in which they first watch, some look around for weeks
    head_start = np.where(random.random(count) < 0.6, random.uniform(60, 3_600, count), random.exponential(9e5, count))
    names = random.choice(_FIRST_NAMES, count)
    country = random.choice(list(_COUNTRIES), count, p=[share for share, _, _ in _COUNTRIES.values()])
    emails = _emails(names, known["user_id"].to_numpy(), random)
    known = known.rename(columns={"min": "first_at", "max": "last_at", "zip_code": "postal_code"}).assign(
        user_id="u-" + known["user_id"],
        first_name=names,
        email=emails,
        phone=_phones(count, random),
        country=country,
        region=[_COUNTRIES[name][1] for name in country],
        timezone=[_COUNTRIES[name][2][index % len(_COUNTRIES[name][2])] for index, name in enumerate(country)],
        plan=random.choice(["free", "basic", "standard", "premium"], count, p=[0.2, 0.25, 0.35, 0.2]),
        crm_id=[f"crm-{number:06d}" for number in random.permutation(count) + 1],
        billing_id=[opaque_id("cus", seed, user) for user in known["user_id"]],
        created_at=(known["min"] - head_start).astype("int64"),
    )
    granted = random.random((count, len(PURPOSES))) < np.array([_GRANTED[purpose] for purpose in PURPOSES])
    leads = _leads(count, anchor, random)
    return People(rows_of(known, Person), leads, granted, _revocations(known, granted, anchor, random))


def spell(email: str, random: np.random.Generator) -> str:
    """One of the ways in which systems write the same address: case, a plus tag, stray spaces."""
    if not email:
        return email
    local, domain = email.split("@")
    kind = int(random.choice(6, p=[0.55, 0.15, 0.08, 0.12, 0.06, 0.04]))
    tag = str(random.choice(["news", "tv", "films"]))
    tagged = f"{local}+{tag}@{domain}"
    return (email, email.capitalize(), email.upper(), tagged, f" {email} ", tagged.upper())[kind]


def _emails(names: np.ndarray, user_ids: np.ndarray, random: np.random.Generator) -> list[str]:
    domains = random.choice(["example.com", "example.org", "example.net"], len(names), p=[0.5, 0.3, 0.2])
    emails = [f"{name.lower()}.{user}@{domain}" for name, user, domain in zip(names, user_ids, domains, strict=True)]
    # dots count: the neighbour of every 150th person has the same address but for the dot, and is someone else
    for index in range(0, len(emails) - 1, 150):
        emails[index + 1] = emails[index].replace(".", "", 1)
    is_missing = random.random(len(emails)) < 0.03
    return ["" if missing else email for email, missing in zip(emails, is_missing, strict=True)]


def _phones(count: int, random: np.random.Generator) -> list[str]:
    # +44 7700 900000 to 900999 is reserved for fiction; beyond a thousand people nobody else has a phone
    has_phone = random.random(count) < 0.6
    return [f"+447700900{index:03d}" if has_phone[index] and index < 1_000 else "" for index in range(count)]


def _leads(known_count: int, anchor: int, random: np.random.Generator) -> list[Lead]:
    numbers = range(min(_LEAD_COUNT, known_count // 10))
    # all names are drawn before the first moment
    names = [str(random.choice(_FIRST_NAMES)) for _ in numbers]
    return [
        Lead(
            person_id=f"lead-{number:03d}",
            first_name=name,
            email=f"{name.lower()}.lead{number}@example.com",
            crm_id=f"crm-{known_count + 1 + number:06d}",
            created_at=anchor - int(random.uniform(1, 120) * 86_400),
        )
        for number, name in enumerate(names)
    ]


def _revocations(known: pd.DataFrame, granted: np.ndarray, anchor: int, random: np.random.Generator) -> np.ndarray:
    is_revoked = granted & (random.random(granted.shape) < np.array([_REVOKED[purpose] for purpose in PURPOSES]))
    created = known["created_at"].to_numpy()[:, None]
    moment = created + (0.2 + 0.8 * random.random(granted.shape)) * (anchor - created)
    return np.where(is_revoked, np.floor(moment), np.inf)
