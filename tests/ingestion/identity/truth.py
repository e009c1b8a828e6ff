"""How well identity finds who is who in the simulated house, and why it does not find the rest.

In: the truth of the envelope (which identifier is whose), its extracts as the systems wrote them, and what identity
concluded. Out: precision and recall on pairs of identifiers, and a reason for every pair that was not found. The
extracts are read here once more, apart from the connectors, so that evidence which a connector loses shows as a miss.
"""

import csv
import gzip
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pandas as pd
from psycopg import Connection
from psycopg.rows import DictRow

from marquee.settings import Settings

# kind and value
Identifier = tuple[str, str]
Pair = tuple[Identifier, Identifier]

_CLIENT_KINDS = {"anonymous_id", "device_id", "advertising_id"}


@dataclass(frozen=True)
class Said:
    """The identifiers that one record names; `withheld`: those that their owner does not allow the house to keep."""

    kept: frozenset[Identifier]
    withheld: frozenset[Identifier] = frozenset()


@dataclass(frozen=True)
class PairScore:
    """Pairs that are true, that were found, and that are both."""

    true_count: int
    found_count: int
    common_count: int

    @property
    def precision(self) -> float:
        return self.common_count / self.found_count if self.found_count else 1.0

    @property
    def recall(self) -> float:
        return self.common_count / self.true_count if self.true_count else 1.0

    @property
    def f1(self) -> float:
        return 2 * self.common_count / max(1, self.true_count + self.found_count)


@dataclass(frozen=True)
class Evaluation:
    """What was found of all true pairs, and of those that records join.

    Attributes:
        all_pairs: every pair of identifiers of one person.
        joined_pairs: the pairs that a chain of records joins, through identifiers that are this person's alone and may
            be kept; what nobody can know is no miss. Wrong pairs count here as there.
        missed: how many pairs were not found, by reason.
        shared_count: identifiers of several people: nobody's own, and wrong in every pair.
    """

    all_pairs: PairScore
    joined_pairs: PairScore
    missed: Mapping[str, int]
    shared_count: int


NEVER_NAMED = "one of the two stands in no record"
NEVER_SIGNED_IN = "a browser or app on which its owner never signed in"
NO_CHAIN = "no chain of records joins the two"
WITHHELD = "the owner does not allow the house to keep an id that joins them"
CROWDED = "joined only through a value that is blocked or shared by too many"
HELD = "joined only through a link that is held for review"
UNUSED = "joined by records, and not found"


def evaluate(found: Mapping[Identifier, str], connection: Connection[DictRow], settings: Settings) -> Evaluation:
    """Compare whose each identifier was found to be with the truth beside the extracts."""
    owners = read_owners(settings)
    evidence = _read_evidence(owners, read_records(settings.extracts_dir), connection)
    missed: Counter[str] = Counter()
    true_count = common_count = joined_count = joined_common_count = 0
    for pair in _pairs_of_one(owners):
        is_found = pair[0] in found and found[pair[0]] == found.get(pair[1])
        reason = _reason(pair, evidence)
        is_joined = reason not in (NEVER_NAMED, NEVER_SIGNED_IN, NO_CHAIN, WITHHELD)
        true_count += 1
        joined_count += is_joined
        common_count += is_found
        joined_common_count += is_found and is_joined
        if not is_found:
            missed[reason] += 1
    wrong_count = _wrong_count(owners, found)
    return Evaluation(
        PairScore(true_count, common_count + wrong_count, common_count),
        PairScore(joined_count, joined_common_count + wrong_count, joined_common_count),
        dict(missed),
        sum(len(people) > 1 for people in owners.values()),
    )


def read_owners(settings: Settings) -> dict[Identifier, frozenset[str]]:
    """The people of each identifier."""
    truth = pd.read_parquet(settings.truth_dir / "identities.parquet")
    # the plain address stands there beside its hash, which is the identifier
    truth = truth[truth["kind"] != "email"]
    owners: dict[Identifier, set[str]] = defaultdict(set)
    for kind, value, person_id in truth[["kind", "value", "person_id"]].itertuples(index=False, name=None):
        owners[kind, value].add(person_id)
    return {identifier: frozenset(people) for identifier, people in owners.items()}


def read_records(folder: Path) -> Iterator[Said]:
    """What every readable record of every extract names; of a subscription the newest version, unless it is deleted."""
    for call in _json_records(folder / "events"):
        yield _said_by_call(call)
    for path in sorted((folder / "crm").glob("*.csv")):
        for row in _csv_records(path):
            yield _said(crm_id=row["crm_id"], user_id=row["user_id"], email=row["email"], phone=row["phone"])
    versions = sorted(_json_records(folder / "billing"), key=lambda version: str(version.get("updated_at")))
    for version in {version.get("id"): version for version in versions}.values():
        if not version.get("deleted"):
            yield _said(billing_id=version.get("id"), user_id=version.get("user_id"), email=version.get("email"))
    for invoice in _json_records(folder / "invoices"):
        yield _said(billing_id=invoice.get("subscription"))
    for mail in _json_records(folder / "email_provider"):
        yield _said(email=mail.get("email"))
    for row in _csv_records(folder / "surveys" / "answers.csv"):
        yield _said(user_id=row["user_id"], email=row["email"])
    for row in _csv_records(folder / "consents" / "consents.csv"):
        yield _said(**{row["identifier_kind"]: row["identifier"]})


def _pairs_of_one(owners: Mapping[Identifier, frozenset[str]]) -> Iterator[Pair]:
    """Every two identifiers that are one person's alone."""
    of_person: dict[str, list[Identifier]] = defaultdict(list)
    for identifier, people in owners.items():
        if len(people) == 1:
            of_person[next(iter(people))].append(identifier)
    for identifiers in of_person.values():
        yield from combinations(sorted(identifiers), 2)


def _wrong_count(owners: Mapping[Identifier, frozenset[str]], found: Mapping[Identifier, str]) -> int:
    """Pairs in one profile that are not one person's: of two people, or with an identifier that several share."""
    profiles: dict[str, Counter[object]] = defaultdict(Counter)
    for identifier, subscriber_id in found.items():
        if people := owners.get(identifier):
            profiles[subscriber_id][people if len(people) == 1 else identifier] += 1
    return sum(one * other for counts in profiles.values() for one, other in combinations(counts.values(), 2))


class _Chains:
    """Which identifiers of one person records join, through that person's own identifiers."""

    def __init__(self, owners: Mapping[Identifier, frozenset[str]]) -> None:
        self._owners = owners
        self._parent: dict[Identifier, Identifier] = {}

    def join(self, identifiers: Iterable[Identifier]) -> None:
        first_of: dict[str, Identifier] = {}
        for identifier in identifiers:
            people = self._owners.get(identifier, frozenset())
            if len(people) == 1:
                first = first_of.setdefault(next(iter(people)), identifier)
                self._parent[self._root(identifier)] = self._root(first)

    def are_joined(self, pair: Pair) -> bool:
        return self._root(pair[0]) == self._root(pair[1])

    def _root(self, identifier: Identifier) -> Identifier:
        while (up := self._parent.get(identifier, identifier)) != identifier:
            identifier = up
        return identifier


@dataclass(frozen=True)
class _Evidence:
    """The chains of records: all; of what may be kept; without crowded and blocked values; without held links."""

    named: Collection[Identifier]
    signed_in: Collection[Identifier]
    all_records: _Chains
    kept: _Chains
    uncrowded: _Chains
    unheld: _Chains


def _read_evidence(
    owners: Mapping[Identifier, frozenset[str]], records: Iterable[Said], connection: Connection[DictRow]
) -> _Evidence:
    outside, held = _read_outside(connection), _read_held(connection)
    named: set[Identifier] = set()
    signed_in: set[Identifier] = set()
    all_records, kept, uncrowded, unheld = (_Chains(owners) for _ in range(4))
    for record in records:
        everything = record.kept | record.withheld
        named |= everything
        if any(kind not in _CLIENT_KINDS for kind, _ in everything):
            signed_in |= everything
        all_records.join(everything)
        kept.join(record.kept)
        uncrowded.join(record.kept - outside)
        for pair in combinations(record.kept - outside, 2):
            if frozenset(pair) not in held:
                unheld.join(pair)
    return _Evidence(named, signed_in, all_records, kept, uncrowded, unheld)


def _reason(pair: Pair, evidence: _Evidence) -> str:
    """Why a pair would not be found: the first thing without which no chain of records joins it."""
    if not all(identifier in evidence.named for identifier in pair):
        return NEVER_NAMED
    if not evidence.all_records.are_joined(pair):
        return NO_CHAIN if all(identifier in evidence.signed_in for identifier in pair) else NEVER_SIGNED_IN
    if not evidence.kept.are_joined(pair):
        return WITHHELD
    if not evidence.uncrowded.are_joined(pair):
        return CROWDED
    return UNUSED if evidence.unheld.are_joined(pair) else HELD


def _read_outside(connection: Connection[DictRow]) -> set[Identifier]:
    rows = connection.execute(
        "select kind, value from identity.identifiers inner join identity.kinds using (kind_id) "
        "where identifier_id in (select identifier_id from identity.crowded) "
        "or identifier_key in (select identifier_key from identity.blocked_keys)"
    )
    return {(row["kind"], row["value"]) for row in rows}


def _read_held(connection: Connection[DictRow]) -> set[frozenset[Identifier]]:
    rows = connection.execute(
        "select lk.kind as low_kind, l.value as low_value, hk.kind as high_kind, h.value as high_value "
        "from identity.held_links as held "
        "inner join identity.identifiers as l on l.identifier_id = held.low_id "
        "inner join identity.identifiers as h on h.identifier_id = held.high_id "
        "inner join identity.kinds as lk on lk.kind_id = l.kind_id "
        "inner join identity.kinds as hk on hk.kind_id = h.kind_id"
    )
    return {frozenset(((row["low_kind"], row["low_value"]), (row["high_kind"], row["high_value"]))) for row in rows}


def _said_by_call(call: Mapping[str, object]) -> Said:
    context, traits, properties = (_object(call, name) for name in ("context", "traits", "properties"))
    device = _object(context, "device")
    former = call.get("previousId")
    said = _said(
        user_id=call.get("userId"), anonymous_id=call.get("anonymousId"), device_id=device.get("id"),
        email=traits.get("email"), phone=traits.get("phone"), billing_id=properties.get("billing_id"),
    )  # fmt: skip
    # an alias does not say of which kind the former id is
    kept = said.kept | ({("user_id", str(former)), ("anonymous_id", str(former))} if former else set())
    advertising = _said(advertising_id=device.get("advertisingId")).kept
    choices = _object(_object(context, "consent"), "categoryPreferences")
    if choices.get("advertising", True):
        return Said(frozenset(kept | advertising))
    return Said(frozenset(kept), advertising)


def _said(**spelled: object) -> Said:
    """Identifiers in their one spelling: what the systems write, by kind."""
    kept: set[Identifier] = set()
    for kind, value in spelled.items():
        text = str(value or "").strip()
        if kind == "email" and "@" in text:
            local, domain = text.lower().split("@", 1)
            kept.add(("email_hash", _sha256(f"{local.split('+')[0]}@{domain}")))
        elif kind == "phone" and text:
            kept.add(("phone_hash", _sha256("".join(filter(str.isdigit, text))[-10:])))
        elif text and kind not in ("email", "phone"):
            kept.add((kind, text))
    return Said(frozenset(kept))


def _json_records(folder: Path) -> Iterator[dict[str, object]]:
    for path in sorted(folder.glob("*.jsonl*")):
        data = path.read_bytes()
        for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


def _csv_records(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _object(record: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
