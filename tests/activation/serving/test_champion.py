"""A newer model takes over while requests run; one that cannot be read leaves the old one in service."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg import Connection
from psycopg.rows import DictRow

from activation.serving.artefact import ArtefactError, load_artefact
from marquee.settings import Settings
from tests.activation.serving import world
from tests.activation.serving.conftest import VERSION
from tests.waiting import wait_until
from training import checks, registry, verdicts

NEXT = "20260308T120000-00000002"
LATER = "20260315T120000-00000003"


def served(client: TestClient) -> str | None:
    return client.get("/health").json()["model_version"]


def look_now(client: TestClient) -> None:
    """What the background thread does every few seconds."""
    client.app.state.runtime.recommender.refresh()  # type: ignore[attr-defined]


def test_a_new_champion_takes_over_without_a_failed_request(
    client: TestClient, house: Settings, house_db: Connection[DictRow]
) -> None:
    world.copy_version(house.models_dir, VERSION, NEXT)
    stop = threading.Event()

    def ask_until_stopped() -> list[tuple[int, str | None]]:
        seen = []
        while not stop.is_set():
            response = client.get("/v1/recommendations", params={"subscriber_id": world.DRAMA_LOVER, "count": 5})
            seen.append((response.status_code, response.json()["model_version"]))
        return seen

    with ThreadPoolExecutor(4) as threads:
        askers = [threads.submit(ask_until_stopped) for _ in range(4)]
        try:
            world.promote(house_db, NEXT)
            wait_until(lambda: served(client) == NEXT, 15, "the new champion")
            after = [client.get("/v1/recommendations", params={"subscriber_id": world.DRAMA_LOVER}) for _ in range(3)]
        finally:
            stop.set()
        answers = [asker.result() for asker in askers]
    assert {response.json()["model_version"] for response in after} == {NEXT}
    for of_one_asker in answers:
        assert {status for status, _ in of_one_asker} == {200}
        versions = [version for _, version in of_one_asker]
        assert versions == sorted(versions, key=str), "an answer of the old model came after one of the new"
        assert versions[0] == VERSION
        assert None not in versions, "a request fell back during the change"


def test_a_champion_that_is_broken_leaves_the_one_before_it_in_service(
    client: TestClient, house: Settings, house_db: Connection[DictRow]
) -> None:
    broken = world.copy_version(house.models_dir, VERSION, NEXT)
    (broken / "ranker.pt2").write_bytes(b"half a file")
    world.promote(house_db, NEXT)
    look_now(client)
    assert client.get("/ready").status_code == 503
    assert "ranker.pt2" in client.get("/ready").json()["problem"]
    answer = client.get("/v1/recommendations", params={"subscriber_id": world.DRAMA_LOVER}).json()
    assert answer["model_version"] == VERSION
    world.copy_version(house.models_dir, VERSION, LATER)
    world.promote(house_db, LATER)
    look_now(client)
    assert served(client) == LATER
    assert client.get("/ready").status_code == 200


def test_a_roll_back_is_one_more_promotion(client: TestClient, house: Settings, house_db: Connection[DictRow]) -> None:
    world.copy_version(house.models_dir, VERSION, NEXT)
    for version in (NEXT, VERSION):
        world.promote(house_db, version)
        look_now(client)
        assert served(client) == version


@pytest.mark.parametrize(
    ("outcome", "verdict", "serves"),
    [("reject", "reject", VERSION), ("hold", "hold", VERSION), ("pass", "promote", NEXT)],
)
def test_only_a_version_that_the_gate_promotes_reaches_the_homepage(
    client: TestClient,
    house: Settings,
    house_db: Connection[DictRow],
    outcome: checks.Outcome,
    verdict: str,
    serves: str,
) -> None:
    world.copy_version(house.models_dir, VERSION, NEXT)
    registry.register(house_db, NEXT, world.NOW, world.NOW, world.NOW, [])
    for step in checks.STEPS:
        found = "pass" if step != "fairness" else outcome
        checks.replace(house_db, "weekly", step, [checks.Check(step, "what", "figure", found, 0.1, detail="because")])
    assert verdicts.decide("weekly", NEXT, world.NOW, house).verdict == verdict
    assert verdicts.publish("weekly", world.NOW, house) is (verdict == "promote")
    look_now(client)
    for path in ("/v1/recommendations", "/v1/homepage"):
        answer = client.get(path, params={"subscriber_id": world.DRAMA_LOVER}).json()
        assert (answer["model_version"], answer["is_fallback"]) == (serves, False)
    if serves == NEXT:
        registry.roll_back(house_db, world.NOW, house)
        look_now(client)
        assert served(client) == VERSION


def test_a_version_loaded_while_the_marts_could_not_be_read_serves_once_they_can(
    client: TestClient, house: Settings, house_db: Connection[DictRow]
) -> None:
    world.copy_version(house.models_dir, VERSION, NEXT)
    # a column that the catalogue reads is away: the model loads, what belongs to it does not
    house_db.execute("alter table marts.dim_content rename column title to name")
    world.promote(house_db, NEXT)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        look_now(client)
    assert served(client) == VERSION
    house_db.execute("alter table marts.dim_content rename column name to title")
    look_now(client)
    assert served(client) == NEXT


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _manifest(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def _other_embeddings(folder: Path) -> None:
    np.save(folder / "content_embeddings.npy", np.zeros((3, 4), dtype=np.float32))


def _with_index(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    def damaged(folder: Path) -> None:
        world.add_index(folder)
        damage(folder)

    return damaged


def _index_of_others(folder: Path) -> None:
    """Whole and vouched for, but of other embeddings than the model's."""
    embeddings = np.load(folder / "content_embeddings.npy")
    np.save(folder / "content_embeddings.npy", np.tile(embeddings, (2, 1)))
    world.add_index(folder)
    np.save(folder / "content_embeddings.npy", embeddings)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_without("manifest.json"), "no model at"),
        (_without("user_tower.pt2"), "lacks user_tower.pt2"),
        (_without("item_neighbours.npz"), "lacks item_neighbours.npz"),
        (_other_embeddings, "sha256"),
        (_with_index(_without("content_index.faiss")), "lacks content_index.faiss"),
        (_with_index(lambda folder: (folder / "content_index.faiss").write_bytes(b"")), "faiss has sha256"),
        (_index_of_others, "not an index of embeddings of shape"),
        (_manifest(files={}), "lacks content_ids.json"),
        (_manifest(candidate_count=0), "not a manifest"),
        (_manifest(embedding_size=5), "embeddings of shape"),
        (_manifest(ranker_features=["retrieval_score", "horoscope"]), "horoscope"),
        (_manifest(sequence_length=-1), "cannot be read as a model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_artefact_is_refused_with_the_reason(
    house: Settings, damage: Callable[[Path], None], words: str
) -> None:
    folder = house.models_dir / VERSION
    damage(folder)
    with pytest.raises(ArtefactError, match=words):
        load_artefact(folder)


def test_a_content_that_came_after_the_training_is_recommended_by_what_it_says_of_itself(
    client: TestClient, house: Settings, house_db: Connection[DictRow]
) -> None:
    published = world.NOW - timedelta(hours=1)
    for content_id in ("n51", "n52"):
        world.add_content(house_db, content_id, published)
    house_db.commit()
    look_now(client)
    # the store has no features of it yet, so nobody can say where it stands
    assert "n51" not in scores_of(client, world.DRAMA_LOVER)
    for content_id in ("n51", "n52"):
        world.describe_content(house_db, content_id, published)
    house_db.commit()
    world.put_online(house, "with new contents")
    look_now(client)
    # an odd number is a drama, an even one a comedy
    for_drama, for_comedy = (scores_of(client, who) for who in (world.DRAMA_LOVER, world.COMEDY_LOVER))
    assert for_drama["n51"] > for_drama.get("n52", -np.inf)
    assert for_comedy["n52"] > for_comedy.get("n51", -np.inf)
    assert served(client) == VERSION


def test_an_index_finds_what_came_after_the_training_too(tmp_path: Path) -> None:
    folder = world.write_artefact(tmp_path, VERSION)
    world.add_index(folder)
    drama = np.zeros((1, world.GENRES + 3), dtype=np.float32)
    drama[0, 7] = 1.0
    artefact = load_artefact(folder).with_contents(["n51"], drama, ["New"])
    allowed = np.zeros(world.CONTENT_COUNT + 2, dtype=np.bool_)
    # a comedy, and what is new
    allowed[[artefact.item_of["c02"], artefact.item_of["n51"]]] = True
    assert not artefact.nearest.is_exact
    assert artefact.nearest.search(np.array([1, 0, 0, 0], dtype=np.float32), allowed, 1).tolist() == [
        artefact.item_of["n51"]
    ]


def test_whoever_consumed_a_content_of_after_the_training_still_gets_a_list(
    client: TestClient, house: Settings, house_db: Connection[DictRow]
) -> None:
    published = world.NOW - timedelta(hours=1)
    world.add_content(house_db, "n51", published)
    world.describe_content(house_db, "n51", published)
    person = world.Person("b0000000-0000-0000-0000-000000000001", ["c01", "c03", "n51"])
    world.add_person(house_db, person)
    house_db.commit()
    world.put_online(house, "with a new content")
    look_now(client)
    answer = client.get("/v1/recommendations", params={"subscriber_id": person.subscriber_id, "count": 100}).json()
    assert not answer["is_fallback"]
    assert "n51" not in {item["content_id"] for item in answer["items"]}


def scores_of(client: TestClient, subscriber_id: str) -> dict[str, float]:
    answer = client.get("/v1/recommendations", params={"subscriber_id": subscriber_id, "count": 100}).json()
    assert not answer["is_fallback"]
    return {item["content_id"]: item["score"] for item in answer["items"]}
