"""Definitions and online values: doing it again changes nothing, and the newest value is what is online."""

import os
import subprocess
import sys
from datetime import timedelta

from feast import FeatureStore
from psycopg import Connection
from psycopg.rows import DictRow

from feature_repo.definitions import VIEWS
from feature_repo.materialization import materialize
from feature_repo.online import read_contents, read_subscriber
from feature_repo.store import apply_definitions, close_store, open_store
from marquee.settings import Settings
from tests.activation.serving import world


def registered(settings: Settings) -> dict[str, dict[str, object]]:
    """Everything in the registry by kind and name, without the moment of its last change."""
    store = open_store(settings)
    try:
        kinds = {
            "entities": store.list_entities(),
            "views": store.list_feature_views(),
            "services": store.list_feature_services(),
            "sources": store.list_data_sources(),
        }
        return {kind: {one.name: one.to_proto() for one in found} for kind, found in kinds.items()}
    finally:
        close_store(store)


def named(found: dict[str, dict[str, object]]) -> dict[str, set[str]]:
    return {kind: set(by_name) for kind, by_name in found.items()}


def test_applying_the_same_definitions_again_changes_nothing(house: Settings) -> None:
    before = registered(house)
    assert set(before["services"]) == {"retrieval_v1", "ranking_v1"}
    assert set(before["views"]) == {view.name for view in VIEWS}
    apply_definitions(house)
    after = registered(house)
    assert named(after) == named(before)
    for name, view in before["views"].items():
        assert after["views"][name].spec == view.spec  # type: ignore[attr-defined]
    for name, service in before["services"].items():
        assert after["services"][name].spec == service.spec  # type: ignore[attr-defined]


def test_applying_again_keeps_what_is_online(house: Settings, store: FeatureStore) -> None:
    before = read_subscriber(store, world.DRAMA_LOVER)
    apply_definitions(house)
    assert read_subscriber(store, world.DRAMA_LOVER) == before
    assert before.recent_content_ids == ("c01", "c03", "c05")


def test_materializing_twice_gives_the_same_counts_and_values(
    house: Settings, house_db: Connection[DictRow], store: FeatureStore
) -> None:
    before = read_subscriber(store, world.COMEDY_LOVER)
    first = materialize("again", world.NOW, house)
    second = materialize("again", world.NOW, house)
    people = len([person for person in world.PEOPLE if person.consumed])
    assert first == second == {
        "ftr_subscriber__sequence": people,
        "ftr_subscriber__activity": people,
        "ftr_subscriber__profile": len(world.PEOPLE),
        "ftr_content__popularity": world.CONTENT_COUNT,
        "ftr_content__profile": world.CONTENT_COUNT,
    }  # fmt: skip
    assert read_subscriber(store, world.COMEDY_LOVER) == before
    rows = house_db.execute("select * from ops.materializations where run_key = 'again'").fetchall()
    assert {row["feature_view"]: row["row_count"] for row in rows} == first
    assert {row["features_until"] for row in rows} == {world.NOW}


def test_the_newest_row_is_online_and_a_later_one_than_asked_for_is_not(
    house: Settings, house_db: Connection[DictRow], store: FeatureStore
) -> None:
    for hours, count in ((-1, 40), (1, 50), (30, 60)):
        house_db.execute(
            "insert into features.ftr_subscriber__activity (subscriber_id, event_timestamp, created_at, "
            "interaction_count) values ('s-busy', %s, %s, %s)",
            (world.NOW + timedelta(hours=hours), world.NOW, count),
        )
    materialize("later", world.NOW + timedelta(hours=2), house)
    assert read_subscriber(store, "s-busy").interaction_count == 50
    materialize("earlier", world.NOW, house)
    assert read_subscriber(store, "s-busy").interaction_count in (40, 50), "never the row of the future"


def test_who_has_no_row_any_more_vanishes_online_and_nobody_else(
    house: Settings, house_db: Connection[DictRow], store: FeatureStore
) -> None:
    assert read_subscriber(store, world.NO_CONSENT).recent_content_ids == ("c01", "c07")
    before = read_subscriber(store, world.DRAMA_LOVER)
    for table in ("sequence", "activity", "profile"):
        house_db.execute(f"delete from features.ftr_subscriber__{table} where subscriber_id = %s", (world.NO_CONSENT,))
    counts = materialize("withdrawn", world.NOW, house)
    assert counts["ftr_subscriber__profile"] == len(world.PEOPLE) - 1
    gone = read_subscriber(store, world.NO_CONSENT)
    assert gone == read_subscriber(store, "nobody")
    assert read_subscriber(store, world.DRAMA_LOVER) == before


def test_who_has_no_features_yet_gets_the_defaults(store: FeatureStore) -> None:
    nobody = read_subscriber(store, "nobody")
    assert nobody.recent_content_ids == ()
    assert nobody.interaction_count == 0
    assert not nobody.has_personalization_consent
    unknown = read_contents(store, ["c99"])
    assert unknown.counts.tolist() == [[0, 0, 0, 0]]
    assert unknown.types.sum() == 0


def test_materializes_in_a_process_that_applied_nothing(house: Settings) -> None:
    assert house.database_url is not None
    code = (
        "from datetime import datetime; from feature_repo.materialization import materialize; "
        "from marquee.settings import load_settings; "
        f"materialize('alone', datetime.fromisoformat('{world.NOW.isoformat()}'), load_settings())"
    )
    environment = {
        **os.environ, "DATABASE_URL": house.database_url.get_secret_value(), "MARQUEE_VAR_DIR": str(house.var_dir),
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
