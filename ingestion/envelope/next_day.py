"""The day after: what the simulated systems hand over once more, with everything that a second delivery can bring.

In: the extracts of `simulation.generate`, and what they were made from. Out: the same folders a day later: the CRM and
the CMS with whole exports in which records are missing, corrected, and corrected by somebody whose copy was older;
billing with renewals, a cancellation, a deletion and a late row; invoices with refunds; events, some of them late, in
the file of the day before and in a new one. All of it is simulated.
"""

import csv
import gzip
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from ingestion.envelope.billing_records import subscription_version
from ingestion.envelope.people import People, make_people, opaque_id
from ingestion.envelope.records import iso
from ingestion.envelope.subscriptions import Change, Subscription, make_subscriptions
from marquee.settings import Settings

_DAY = 86_400
_PERIOD = 30 * _DAY
_ACTIVE_SHARE = 0.1


@dataclass(frozen=True)
class NextDay:
    """What changed, by the keys of the systems: the known answers of a second load.

    Attributes:
        vanished: contacts that the CRM's export lacks.
        corrected: contacts with a newer version; `outdated`: with another, older one, which must not count.
        withdrawn: content that the CMS's export lacks.
        deleted: subscriptions that billing says are gone.
        refunded: invoices whose money went back.
    """

    anchor: datetime
    vanished: tuple[str, ...]
    corrected: tuple[str, ...]
    outdated: tuple[str, ...]
    withdrawn: tuple[str, ...]
    deleted: tuple[str, ...]
    refunded: tuple[str, ...]


def generate_next_day(
    interactions: pd.DataFrame, users: pd.DataFrame, anchor: datetime, seed: int, settings: Settings
) -> NextDay:
    """Write the extracts of the 24 hours after `anchor` beside and over those that `generate` wrote for it."""
    random = np.random.default_rng([seed, 16])
    start = int(anchor.timestamp())
    shifted = interactions.assign(timestamp=interactions["timestamp"] + start - interactions["timestamp"].max())
    people = make_people(users, shifted, start, seed)
    subscriptions = make_subscriptions(people, start, seed)
    folder = settings.extracts_dir
    vanished, corrected, outdated = _export_contacts(folder / "crm" / "contacts.csv", start, random)
    withdrawn = _export_content(folder / "cms" / "content.json", start, random)
    day = f"{datetime.fromtimestamp(start + _DAY, UTC):%Y-%m-%d}"
    lines, deleted = _billing_lines(people, subscriptions, start, random)
    (folder / "billing" / f"subscriptions-{day}.jsonl").write_text(_joined(lines))
    lines, refunded = _refunds(folder / "invoices" / "invoices.jsonl", start, random)
    (folder / "invoices" / f"invoices-{day}.jsonl").write_text(_joined(lines))
    _append_events(folder / "events", _event_lines(people, start, seed, random))
    return NextDay(
        datetime.fromtimestamp(start + _DAY, UTC), vanished, corrected, outdated, withdrawn, deleted, refunded
    )


def _export_contacts(
    path: Path, start: int, random: np.random.Generator
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    # what cannot be read today cannot be read tomorrow
    sound = [row for row in rows if row["user_id"] and row["updated_at"].endswith("Z")]
    size = max(1, len(sound) // 50)
    drawn = random.permutation(len(sound))[: 3 * size].tolist()
    vanished, corrected, outdated = (
        [sound[place] for place in drawn[part * size : (part + 1) * size]] for part in range(3)
    )
    for row in corrected:
        row |= {"first_name": f"{row['first_name']} Corrected", "updated_at": iso(start + 3_600)}
    for row in outdated:
        row |= {"first_name": f"{row['first_name']} Outdated", "updated_at": "2001-01-01T00:00:00Z"}
    gone = {row["crm_id"] for row in vanished}
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for row in rows if row["crm_id"] not in gone)
    path.write_text(buffer.getvalue())
    return tuple(sorted(gone)), _keys(corrected, "crm_id"), _keys(outdated, "crm_id")


def _export_content(path: Path, start: int, random: np.random.Generator) -> tuple[str, ...]:
    items = json.loads(path.read_text())["items"]
    articles = sorted({item["id"] for item in items if item.get("type") == "article"})
    withdrawn = {articles[int(random.integers(len(articles)))]}
    kept = [item for item in items if item["id"] not in withdrawn]
    retagged = {**kept[0], "tags": ["Drama"], "updated_at": iso(start + 7_200)}
    lines = ",\n".join(json.dumps(item) for item in [*kept, retagged])
    path.write_text('{"items": [\n' + lines + "\n]}\n")
    return tuple(withdrawn)


def _billing_lines(
    people: People, subscriptions: list[Subscription], start: int, random: np.random.Generator
) -> tuple[list[str], tuple[str, ...]]:
    """Renewals that fall due, one cancellation, one deletion, and a version of five days ago that comes late."""
    lines = []
    for subscription in subscriptions:
        last = subscription.changes[-1]
        if start < last.renews_at <= start + _DAY:
            renewed = Change("renewed", last.renews_at, last.plan, "active", last.renews_at + _PERIOD)
            lines.append(_version(people, subscription, renewed))
    paying = [subscription for subscription in subscriptions if subscription.changes[-1].renews_at > start + _DAY]
    canceled, late = (paying[int(place)] for place in random.choice(len(paying), 2, replace=False))
    plan = canceled.changes[-1].plan
    lines.append(_version(people, canceled, Change("canceled", start + 600, plan, "canceled", 0)))
    before = late.changes[-1]
    lines.append(_version(people, late, Change("renewed", start - 5 * _DAY, before.plan, "past_due", before.renews_at)))
    free = next(subscription for subscription in subscriptions if subscription.changes[-1].plan == "free")
    deleted = people.known[free.person].billing_id
    lines.append(json.dumps({"id": deleted, "deleted": True, "updated_at": iso(start + 900), "is_simulated": True}))
    return lines, (deleted,)


def _version(people: People, subscription: Subscription, change: Change) -> str:
    person = people.known[subscription.person]
    constant = {"id": person.billing_id, "user_id": person.user_id, "started_at": iso(subscription.started_at)}
    return json.dumps({**constant, **subscription_version(change), "is_simulated": True})


def _refunds(path: Path, start: int, random: np.random.Generator) -> tuple[list[str], tuple[str, ...]]:
    paid: dict[str, dict[str, object]] = {}
    for line in path.read_text().splitlines():
        if line.endswith("}"):
            invoice = json.loads(line)
            paid[invoice["id"]] = invoice
    whole = [invoice for invoice in paid.values() if invoice["status"] == "paid" and not invoice["refunded"]]
    lines, refunded = [], []
    for place in random.permutation(len(whole))[: max(1, len(whole) // 200)].tolist():
        invoice = whole[place]
        refunded.append(str(invoice["id"]))
        moment = iso(start + 1_800)
        back = {"status": "refunded", "refunded": invoice["amount"], "refunded_at": moment, "updated_at": moment}
        lines.append(json.dumps({**invoice, **back}))
    return lines, tuple(sorted(refunded))


def _event_lines(people: People, start: int, seed: int, random: np.random.Generator) -> dict[str, list[str]]:
    """Calls by the day on which they arrive; one in ten happened up to two days before."""
    files: dict[str, list[str]] = defaultdict(list)
    for number, person in enumerate(people.known):
        if random.random() >= _ACTIVE_SHARE:
            continue
        arrived_at = start + int(random.uniform(60, _DAY))
        happened_at = arrived_at - int(random.uniform(0.1, 2) * _DAY) if random.random() < 0.1 else arrived_at
        call = {
            "messageId": f"sim-next-{number:05d}",
            "type": "track",
            "event": "Content Searched",
            "userId": person.user_id,
            "anonymousId": opaque_id("a", seed, person.user_id, "web"),
            "timestamp": iso(happened_at),
            "context": {"device": {"id": opaque_id("d", seed, person.user_id, "web"), "type": "web"}},
            "properties": {"query": person.occupation, "result_count": 3, "is_simulated": True},
        }
        files[f"{datetime.fromtimestamp(arrived_at, UTC):%Y-%m-%d}.jsonl.gz"].append(json.dumps(call))
    return files


def _append_events(folder: Path, files: dict[str, list[str]]) -> None:
    for name, lines in files.items():
        path = folder / name
        before = gzip.decompress(path.read_bytes()) if path.exists() else b""
        path.write_bytes(gzip.compress(before + _joined(lines).encode(), compresslevel=3, mtime=0))


def _keys(rows: list[dict[str, str]], name: str) -> tuple[str, ...]:
    return tuple(sorted(row[name] for row in rows))


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
