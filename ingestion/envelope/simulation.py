"""One run of the demo envelope: shift the dates, simulate the systems, write their extracts and, apart, the truth.

In: real interactions, the anchor (the moment that the newest one is shifted to), a seed. Out: files under the extracts
folder, a folder a system, and `identities.parquet` in the truth folder. The same input gives the same bytes.
"""

import gzip
import hashlib
import json
import os
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

import pandas as pd

from ingestion.envelope.account_events import simulate_account_events
from ingestion.envelope.behaviour import Behaviour, simulate_behaviour
from ingestion.envelope.billing_records import invoice_lines, subscription_lines
from ingestion.envelope.catalogue import cms_lines, make_catalogue
from ingestion.envelope.email_history import email_lines
from ingestion.envelope.events import event_files
from ingestion.envelope.people import People, make_people
from ingestion.envelope.records import CrmExtract, consent_rows, crm_extract, survey_rows
from ingestion.envelope.sessions import Sessions, make_sessions
from ingestion.envelope.subscriptions import make_subscriptions
from marquee.settings import Settings

# raise it when the extracts or the truth change: what an older version wrote is then made anew
ENVELOPE_VERSION = 3

_MANIFEST = "manifest.json"


def generate(
    interactions: pd.DataFrame,
    items: pd.DataFrame,
    users: pd.DataFrame,
    anchor: datetime,
    seed: int,
    settings: Settings,
) -> None:
    """Write all extracts and the truth, in place of those that are there.

    Args:
        interactions: user_id, item_id, rating, timestamp (see `MovieLens`).
        items: item_id, title, release_year, genres.
        users: user_id, age, gender, occupation, zip_code.
        anchor: time-zone aware; whole seconds count.
    """
    anchor_second = int(anchor.timestamp())
    shifted = interactions.assign(timestamp=interactions["timestamp"] + anchor_second - interactions["timestamp"].max())
    people = make_people(users, shifted, anchor_second, seed)
    catalogue = make_catalogue(items, shifted, anchor_second, seed)
    sessions = make_sessions(people, shifted, seed)
    behaviour = simulate_behaviour(people, catalogue, sessions, shifted, anchor_second, seed)
    subscriptions = make_subscriptions(people, anchor_second, seed)
    behaviour += simulate_account_events(people, sessions, subscriptions, anchor_second, seed)
    crm = crm_extract(people, anchor_second, seed)
    files = {
        "crm/contacts.csv": crm.text,
        "billing/subscriptions.jsonl": _joined(subscription_lines(people, subscriptions, anchor_second, seed)),
        "invoices/invoices.jsonl": _joined(invoice_lines(people, subscriptions, anchor_second, seed)),
        "email_provider/events.jsonl": _joined(email_lines(people, anchor_second, seed)),
        "cms/content.json": '{"items": [\n' + ",\n".join(cms_lines(catalogue, seed)) + "\n]}\n",
        "consents/consents.csv": consent_rows(people, seed),
        "surveys/answers.csv": survey_rows(people, anchor_second, seed),
    }
    for name, lines in event_files(people, shifted, sessions, behaviour, anchor_second, seed).items():
        files[f"events/{name}.gz"] = _joined(lines)
    files[_MANIFEST] = json.dumps(
        {
            "identity": _identity(anchor, seed),
            "is_simulated": "All but the film, rating and moment of a rating, film titles and demographics "
            "is simulated.",
        },
        indent=1,
    )
    _write_truth(_identities(people, crm, sessions, behaviour), settings.truth_dir)
    _write_extracts(files, settings.extracts_dir)


def is_current(anchor: datetime, seed: int, settings: Settings) -> bool:
    """Whether the extracts of this anchor and seed are there already."""
    path = settings.extracts_dir / _MANIFEST
    return path.exists() and json.loads(path.read_text()).get("identity") == _identity(anchor, seed)


def _identity(anchor: datetime, seed: int) -> dict[str, int]:
    return {"version": ENVELOPE_VERSION, "anchor": int(anchor.timestamp()), "seed": seed}


def _write_extracts(files: dict[str, str], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}-"))
    try:
        for name, text in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            # mtime 0: the same lines give the same bytes on any day
            data = gzip.compress(text.encode(), compresslevel=3, mtime=0) if name.endswith(".gz") else text.encode()
            path.write_bytes(data)
        temporary.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_truth(identities: pd.DataFrame, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".identities-{os.getpid()}.parquet"
    identities.to_parquet(temporary, index=False)
    temporary.rename(folder / "identities.parquet")


def _identities(people: People, crm: CrmExtract, sessions: Sessions, behaviour: Behaviour) -> pd.DataFrame:
    """Which identifier is whose: kind, value, person_id. A shared device has a row for each of its people.

    Emails and phones are hashed as the house hashes them: of a phone the last ten digits.
    """
    rows: set[tuple[str, str, str]] = set()
    for person in people.known:
        rows.add(("user_id", person.user_id, person.user_id))
        rows.add(("billing_id", person.billing_id, person.user_id))
        if person.email:
            rows |= {("email", person.email, person.user_id), ("email_hash", _sha256(person.email), person.user_id)}
        if person.phone:
            rows.add(("phone_hash", _sha256(person.phone[-10:]), person.user_id))
    for lead in people.leads:
        rows |= {("email", lead.email, lead.person_id), ("email_hash", _sha256(lead.email), lead.person_id)}
    rows |= {("crm_id", crm_id, owner) for crm_id, owner in crm.owners.items()}
    for device in sessions.devices:
        owner = people.known[device.person].user_id
        rows |= {("device_id", device.device_id, owner), ("anonymous_id", device.anonymous_id, owner)}
        if device.advertising_id:
            rows.add(("advertising_id", device.advertising_id, owner))
    for client in behaviour.clients:
        rows |= {
            ("device_id", client.device_id, client.person_id),
            ("anonymous_id", client.anonymous_id, client.person_id),
        }
    return pd.DataFrame(sorted(rows), columns=["kind", "value", "person_id"])


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
