"""The demo envelope: the same input gives the same bytes, every source loads, every fault is set aside."""

import gzip
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.envelope import sample, simulation
from ingestion.sources import SOURCES, ingest_source
from marquee.settings import Settings
from tests.ingestion.extracts import counts, rows_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SEED = 7


def _generate(settings: Settings, *, anchor: datetime = NOW, seed: int = SEED) -> None:
    data = sample.sample_interactions(user_count=60, item_count=40, seed=3)
    simulation.generate(data.interactions, data.items, data.users, anchor, seed, settings)


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[[str], Settings]:
    """Settings of other var folders."""
    return lambda name: Settings(var_dir=tmp_path / name)


def test_the_same_anchor_and_seed_give_the_same_bytes(elsewhere: Callable[[str], Settings]) -> None:
    first, second, other = (elsewhere(name) for name in ("first", "second", "other"))
    for settings in (first, second):
        _generate(settings)
    _generate(other, seed=SEED + 1)
    assert _digests(first.var_dir) == _digests(second.var_dir)
    changed = [name for name, digest in _digests(other.var_dir).items() if _digests(first.var_dir).get(name) != digest]
    assert {"extracts/crm/contacts.csv", "truth/identities.parquet"} <= set(changed)


def test_generating_again_replaces_what_was_there(elsewhere: Callable[[str], Settings]) -> None:
    settings, fresh = elsewhere("here"), elsewhere("fresh")
    _generate(fresh)
    _generate(settings, anchor=datetime(2026, 1, 1, tzinfo=UTC))
    assert not simulation.is_current(NOW, SEED, settings)
    _generate(settings)
    assert simulation.is_current(NOW, SEED, settings)
    assert _digests(settings.var_dir) == _digests(fresh.var_dir)
    assert {path.name for path in settings.var_dir.iterdir()} == {"extracts", "truth"}


def test_every_rating_is_one_event_at_its_own_moment_and_the_newest_is_now(
    elsewhere: Callable[[str], Settings],
) -> None:
    settings = elsewhere("here")
    _generate(settings)
    ratings = sample.sample_interactions(user_count=60, item_count=40, seed=3).interactions
    shift = int(NOW.timestamp()) - int(ratings["timestamp"].max())
    calls: dict[str, str] = {}
    for path in sorted((settings.extracts_dir / "events").glob("*.jsonl.gz")):
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            if line.startswith('{"messageId": "rating-'):
                call = json.loads(line)
                calls[call["messageId"]] = call["timestamp"]
    moments = [pd.Timestamp(calls[f"rating-{number:07d}"]).timestamp() for number in range(len(ratings))]
    assert moments == (ratings["timestamp"] + shift).tolist()
    assert len(calls) == len(ratings)


def test_every_source_loads_sets_its_faults_aside_and_loads_no_row_twice(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    _generate(settings)
    loaded = {source: ingest_source(source, "run", NOW, settings) for source in SOURCES}
    for source in set(SOURCES) - {"activation"}:
        assert loaded[source].new_count > 0, source
        assert loaded[source].quarantined_count > 0, source
    assert loaded["events"].watermark == NOW
    before = counts(warehouse)
    assert sum(ingest_source(source, "run", NOW, settings).new_count for source in SOURCES) == 0
    assert counts(warehouse) == before


def test_what_is_simulated_says_so(settings: Settings, warehouse: Connection[DictRow]) -> None:
    _generate(settings)
    for source in ("events", "cms", "crm"):
        ingest_source(source, "run", NOW, settings)
    events = rows_of(warehouse, "events", "message_id", "is_simulated")
    assert {is_simulated for message, is_simulated in events if str(message).startswith("rating-")} == {False}
    assert {is_simulated for message, is_simulated in events if str(message).startswith("sim-")} == {True}
    content = rows_of(warehouse, "cms_content", "content_type", "is_simulated")
    assert set(content) == {("video", False), ("article", True), ("podcast", True)}
    assert set(rows_of(warehouse, "crm_contacts", "is_simulated")) == {(True,)}


def test_billing_its_invoices_and_the_clients_tell_one_story_of_each_subscription(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    _generate(settings)
    for source in ("billing", "invoices", "events"):
        ingest_source(source, "run", NOW, settings)
    versions = rows_of(warehouse, "billing_subscriptions", "billing_id", "status", "updated_at", "is_simulated")
    assert {status for _, status, _, _ in versions} == {"active", "trialing", "canceled"}
    assert all(updated_at <= NOW and is_simulated for _, _, updated_at, is_simulated in versions)  # type: ignore[operator]
    told = {(str(billing_id), status, updated_at) for billing_id, status, updated_at, _ in versions}
    events = rows_of(warehouse, "events", "event", "properties", "occurred_at")
    statuses = {"Trial Started": "trialing", "Trial Converted": "active", "Subscription Cancelled": "canceled"}
    sent = [
        (str(properties["billing_id"]), statuses[str(event)], moment)  # type: ignore[index]
        for event, properties, moment in events
        if event in statuses
    ]
    assert {status for _, status, _ in sent} == {"active", "trialing", "canceled"}
    assert set(sent) <= told
    trials = {(billing_id, moment) for billing_id, status, moment in told if status == "trialing"}
    invoices = rows_of(warehouse, "billing_invoices", "billing_id", "issued_at", "status", "is_simulated")
    # nothing is charged for a trial, and every other invoice is of a moment at which billing changed something
    issued = {(str(billing_id), "active", issued_at) for billing_id, issued_at, _, _ in invoices}
    assert issued <= told
    assert not trials & {(billing_id, moment) for billing_id, _, moment in issued}
    assert {status for _, _, status, _ in invoices} >= {"paid", "failed"}
    assert all(is_simulated for *_, is_simulated in invoices)


def test_people_are_known_by_advertising_ids_and_aliases_too(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    _generate(settings)
    ingest_source("events", "run", NOW, settings)
    truth = pd.read_parquet(settings.truth_dir / "identities.parquet")
    owned = set(truth[["kind", "value", "person_id"]].itertuples(index=False, name=None))
    advertised = set(rows_of(warehouse, "events", "advertising_id", "user_id")) - {(None, None)}
    both = [(value, user) for value, user in advertised if value is not None and user is not None]
    assert len(both) > 5
    assert all(("advertising_id", value, user) in owned for value, user in both)
    aliases = [
        (previous, user)
        for kind, previous, user in rows_of(warehouse, "events", "event_type", "previous_id", "user_id")
        if kind == "alias"
    ]
    known = [(previous, user) for previous, user in aliases if str(previous).startswith("a-")]
    assert known
    assert all(("anonymous_id", previous, user) in owned for previous, user in known)
    # one client says of two people with accounts that they are one
    assert len(aliases) == len(known) + 1
    # people come back with cleared cookies: of those browsers no call says whose they are
    named = {value for value, user in rows_of(warehouse, "events", "anonymous_id", "user_id") if user}
    former = {previous for previous, _ in known}
    browsers = truth[(truth["kind"] == "anonymous_id") & truth["person_id"].str.startswith("u-")]
    assert set(browsers["value"]) - named - former


def test_the_truth_lies_outside_the_extracts_and_knows_every_identifier(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    _generate(settings)
    ingest_source("crm", "run", NOW, settings)
    truth = pd.read_parquet(settings.truth_dir / "identities.parquet")
    assert not settings.truth_dir.is_relative_to(settings.extracts_dir)
    assert {crm_id for (crm_id,) in rows_of(warehouse, "crm_contacts", "crm_id")} == set(
        truth.loc[truth["kind"] == "crm_id", "value"]
    )
