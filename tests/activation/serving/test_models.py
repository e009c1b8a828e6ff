"""Which model makes the lists: each list is what that model says, under the same rules, and scored as in training."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import ValidationError
from scipy import sparse

from activation.serving.answers import FallbackReason
from activation.serving.app import create_app
from activation.serving.artefact import Artefact
from activation.serving.catalogue import Catalogue
from activation.serving.features import ContentTable, history_of
from activation.serving.live_state import Snapshot
from activation.serving.models import MODELS, Judged, NotPersonalError, Question, best_rows
from activation.serving.recommender import Visitor, open_recommender
from feature_repo.columns import SubscriberFeatures
from feature_repo.content_text import WORD_COUNT
from marquee import database
from marquee.settings import ServedModel, Settings
from tests.activation.serving import world
from tests.activation.serving.asking import ask, ids
from tests.training.columns import DAY
from tests.waiting import wait_until
from training import baselines
from training.dataset import UNKNOWN, Contents, Interactions

NAMES: tuple[ServedModel, ...] = get_args(ServedModel)
VERSION = "20260308T120000-00000004"

# of c01, c03 and c05, which the lover of dramas has consumed; c01 takes from c40
_SIMILAR = {("c01", "c10"): 0.9, ("c03", "c10"): 0.2, ("c05", "c22"): 0.6, ("c02", "c30"): 1.0}
_WEIGHTS = {("c01", "c14"): 0.4, ("c03", "c14"): -0.1, ("c05", "c16"): 0.5, ("c01", "c40"): -0.2}
# c33 is over, c35 is for another country, c37 and c39 are one title, c31 has a word of c05's
_KNOWN: dict[ServedModel, list[str]] = {
    "marquee": ["c39", "c31", "c29", "c27"],
    "two_tower": ["c39", "c31", "c29", "c27"],
    # what they say nothing of comes as it is popular, which is from c40 down
    "ease": ["c16", "c14", "c39", "c38"],
    "item_knn": ["c10", "c22", "c40", "c39"],
    "content_based": ["c31", "c29", "c27", "c25"],
    # the features count most of c01
    "popularity_7d": ["c02", "c04", "c06", "c07"],
}


@pytest.fixture(scope="module")
def house(make_house: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A house whose model says different things by each of its parts, without weights in its list rules."""
    made = make_house(tmp_path_factory.mktemp("models") / "var")
    folder = world.write_artefact(made.models_dir, VERSION)
    _relate(folder / "item_neighbours.npz", _SIMILAR)
    _relate(folder / "taste_weights.npz", _WEIGHTS)
    with np.load(folder / "content_tower.npz") as tower:
        np.savez(folder / "content_tower.npz", **{**tower, "rarity": np.ones(WORD_COUNT, dtype=np.float32)})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in manifest["files"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with database.connect(made) as connection:
        world.promote(connection, VERSION)
        connection.execute("update marts.dim_content set available_until = %s where content_id = 'c33'", (world.NOW,))
        connection.execute("update marts.dim_content set licensed_countries = '{US}' where content_id = 'c35'")
        connection.execute("update marts.dim_content set title = 'Title c05 again' where content_id = 'c31'")
        connection.execute("update marts.dim_content set maturity_rating = 'R' where content_id in ('c10', 'c39')")
        world.add_person(connection, world.Person("s-elsewhere", ["c99"]))
        connection.commit()
    rules = made.var_dir / "list_rules.yml"
    rules.write_text("maturity: {ages: {PG: 8, R: 17}}\n")
    return made.model_copy(update={"list_rules_file": rules})


def _relate(path: Path, values: dict[tuple[str, str], float]) -> None:
    matrix = np.zeros((world.CONTENT_COUNT + 1,) * 2, dtype=np.float32)
    for (consumed, other), value in values.items():
        matrix[world.CONTENT_IDS.index(consumed) + 1, world.CONTENT_IDS.index(other) + 1] = value
    sparse.save_npz(path, sparse.csr_matrix(matrix))


@pytest.fixture(scope="module", params=NAMES)
def served(request: pytest.FixtureRequest, house: Settings) -> Iterator[tuple[ServedModel, TestClient]]:
    with TestClient(create_app(house.model_copy(update={"served_model": request.param}))) as client:
        yield request.param, client


def test_a_list_is_what_the_model_says(served: tuple[ServedModel, TestClient]) -> None:
    model, client = served
    answer = ask(client, subscriber_id=world.DRAMA_LOVER, count=4)
    assert ids(answer) == _KNOWN[model]
    assert (answer["model"], answer["model_version"]) == (model, VERSION)
    assert (answer["is_fallback"], answer["fallback_reason"]) == (False, None)
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert all((item["chances"] is not None) == (model == "marquee") for item in answer["items"])


def test_hard_rules_and_what_was_consumed_hold_for_each_model(served: tuple[ServedModel, TestClient]) -> None:
    _, client = served
    shown = set(ids(ask(client, subscriber_id=world.DRAMA_LOVER, count=100)))
    assert shown
    assert not shown & {"c01", "c03", "c05", "c33", "c35"}
    childs = set(ids(ask(client, subscriber_id=world.DRAMA_LOVER, count=100, maximum_rating="PG")))
    assert childs
    assert not childs & {"c01", "c03", "c05", "c33", "c35", "c10", "c39"}


def test_without_consent_no_model_makes_the_list(served: tuple[ServedModel, TestClient]) -> None:
    _, client = served
    answer = ask(client, subscriber_id=world.NO_CONSENT)
    assert (answer["fallback_reason"], answer["model"], answer["model_version"]) == ("no_consent", None, None)
    assert all(item["score"] is None for item in answer["items"])


def test_of_whom_nothing_is_known_only_the_popular_model_knows_a_list(served: tuple[ServedModel, TestClient]) -> None:
    model, client = served
    for subscriber_id in (world.NO_HISTORY, "s-elsewhere"):
        answer = ask(client, subscriber_id=subscriber_id, count=3)
        if model == "popularity_7d":
            assert (answer["is_fallback"], ids(answer)) == (False, ["c01", "c02", "c03"])
        else:
            assert (answer["fallback_reason"], answer["model"]) == ("no_history", None)


def test_page_and_impression_name_the_model(served: tuple[ServedModel, TestClient], house: Settings) -> None:
    model, client = served
    page = client.get("/v1/homepage", params={"subscriber_id": world.DRAMA_LOVER}).json()
    assert page["model"] == model
    html = client.get("/", params={"subscriber_id": world.DRAMA_LOVER}, headers={"accept": "text/html"}).text
    assert f"Chosen by <code>{model}</code> of version <code>{VERSION}</code>" in html
    with database.connect(house) as connection:
        connection.autocommit = True
        wait_until(lambda: _models_shown(connection, page["request_id"]) == {model}, 10, "the impression")


def _models_shown(connection: Connection[DictRow], request_id: str) -> set[str]:
    rows = connection.execute(
        "select distinct model from activation.impressions where request_id = %s", (request_id,)
    ).fetchall()
    return {row["model"] for row in rows}


def test_a_reason_is_true_of_the_model_that_chose(served: tuple[ServedModel, TestClient]) -> None:
    model, client = served
    said = {
        item["content_id"]: item["reason"] for item in ask(client, subscriber_id=world.DRAMA_LOVER, count=4)["items"]
    }
    if model == "popularity_7d":
        assert set(said.values()) == {"popular this week"}
    if model == "item_knn":
        assert said["c10"] == "because you watched Title c01"
        assert said["c22"] == "because you watched Title c05"
        assert said["c40"] == "popular this week"


def test_lists_are_composed_and_pinned_whatever_the_model(house: Settings) -> None:
    rules = house.var_dir / "composed.yml"
    pin = (
        "{content_id: c18, place: 2, surfaces: [homepage], from: 2026-01-01T00:00:00Z, until: 2100-01-01T00:00:00Z, "
        "reason: ours}"
    )
    rules.write_text(f"caps: [{{content_type: podcast, at_most: 0, of_first: 10}}]\npins: [{pin}]\n")
    chosen = house.model_copy(update={"served_model": "item_knn", "list_rules_file": rules})
    recommender = open_recommender(chosen)
    try:
        items = recommender.recommend(Visitor(world.DRAMA_LOVER), 4, "homepage", world.NOW).items
        # c40 is a podcast
        assert [item.content_id for item in items] == ["c10", "c18", "c22", "c39"]
        assert [item.is_pinned for item in items] == [False, True, False, False]
    finally:
        recommender.close()


def test_a_model_that_needs_no_features_of_contents_goes_on_without_them(house: Settings) -> None:
    recommender = open_recommender(house)
    try:
        snapshot = replace(recommender.snapshot, contents=None)
        assert snapshot.artefact is not None
        question = _question(snapshot, snapshot.artefact, ["c01", "c03", "c05"])
    finally:
        recommender.close()
    for name in NAMES:
        if name in ("two_tower", "ease", "item_knn"):
            assert len(MODELS[name](question).items)
        else:
            with pytest.raises(NotPersonalError) as raised:
                MODELS[name](question)
            assert raised.value.reason == FallbackReason.FEATURES_UNAVAILABLE


def test_an_unknown_model_is_refused_by_the_name_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARQUEE_SERVED_MODEL", "als")
    with pytest.raises(ValidationError, match=r"MARQUEE_SERVED_MODEL[\s\S]*'popularity_7d'[\s\S]*'als'"):
        Settings()


@pytest.fixture(scope="module")
def trained(house: Settings) -> tuple[Snapshot, Artefact, Contents, Interactions]:
    """The house's catalogue, and relations, likeness and counts as training makes them of a log with repeats."""
    recommender = open_recommender(house)
    try:
        snapshot = recommender.snapshot
    finally:
        recommender.close()
    assert snapshot.artefact is not None
    assert snapshot.contents is not None
    generator, count = np.random.default_rng(5), world.CONTENT_COUNT
    log = Interactions(
        tuple(f"s{n}" for n in range(30)),
        generator.integers(0, 30, 400).astype(np.int32),
        generator.integers(1, count + 1, 400).astype(np.int32),
        np.sort(generator.integers(0, 20 * DAY, 400)),
        np.full(400, np.nan, dtype=np.float32),
        np.zeros(400, dtype=np.int8),
        np.zeros((30, 1), dtype=np.int64),
        profile_size=1,
    )
    titles = [snapshot.catalogue.by_id[name].title for name in world.CONTENT_IDS]
    contents = Contents.of(
        world.CONTENT_IDS, snapshot.contents.sides[1:], titles, np.full(count, UNKNOWN), np.ones(count, dtype=bool)
    )
    week = np.bincount(log.items[log.moments >= 13 * DAY], minlength=count + 1)
    counts = np.stack([0 * week, week, 0 * week, baselines.popularity(log, count)], axis=1).astype(np.float32)
    artefact = replace(
        snapshot.artefact,
        neighbours=replace(snapshot.artefact.neighbours, matrix=baselines.neighbours(log, count)),
        taste=replace(snapshot.artefact.taste, matrix=baselines.taste_weights(log, count)),
        _content_tower=replace(snapshot.artefact._content_tower, word_weights=contents.weighing),
    )
    table = ContentTable(replace(snapshot.contents.features, counts=counts))
    # nothing is over or for another country, so that every score is seen
    shown = Catalogue(
        tuple(replace(content, available_until=None, licensed_countries=()) for content in snapshot.catalogue.contents)
    )
    served = replace(snapshot, artefact=artefact, contents=table, catalogue=shown)
    return served, artefact, contents, log


def _question(snapshot: Snapshot, artefact: Artefact, consumed: list[str]) -> Question:
    """Of somebody who consumed that, in that order, and may see everything."""
    features = SubscriberFeatures(recent_content_ids=tuple(consumed))
    allowed = np.ones(len(snapshot.catalogue.contents), dtype=bool)
    return Question(artefact, snapshot, features, history_of(features), frozenset(consumed), allowed, None, world.NOW)


def _by_item(judged: Judged) -> np.ndarray:
    scores = np.full(world.CONTENT_COUNT + 1, np.nan, dtype=np.float32)
    scores[judged.items] = judged.scores
    return scores[1:]


@example(consumed=[*world.CONTENT_IDS[::-1], *world.CONTENT_IDS[:15]])
@given(consumed=st.lists(st.sampled_from([*world.CONTENT_IDS, "c99-gone"]), min_size=1, max_size=70))
@settings(max_examples=60, deadline=None)
def test_scores_of_a_request_are_those_of_training(
    trained: tuple[Snapshot, Artefact, Contents, Interactions], consumed: list[str]
) -> None:
    """All of them, with repeats and with a content that the model has never seen, which is passed over."""
    snapshot, artefact, contents, log = trained
    items = [artefact.item_of[name] for name in consumed if name in artefact.item_of]
    one = Interactions(
        ("s",), np.zeros(len(items), dtype=np.int32), np.array(items, dtype=np.int32),
        np.arange(len(items), dtype=np.int64), np.full(len(items), np.nan, dtype=np.float32),
        np.zeros(len(items), dtype=np.int8), np.zeros((1, 1), dtype=np.int64), profile_size=1,
    )  # fmt: skip
    histories = one.histories()
    expected = {
        "item_knn": baselines.consumed_scores(artefact.neighbours.matrix, histories),
        "ease": baselines.consumed_scores(artefact.taste.matrix, histories),
        "content_based": baselines.likeness_scores(baselines.likeness(contents), histories),
        "popularity_7d": baselines.popularity_before(log, world.CONTENT_COUNT, np.array([20 * DAY])),
    }
    question = _question(snapshot, artefact, consumed)
    for name, (scores,) in expected.items():
        if not items and name != "popularity_7d":
            with pytest.raises(NotPersonalError, match="no_history"):
                MODELS[name](question)
            continue
        np.testing.assert_allclose(_by_item(MODELS[name](question)), scores[1:], atol=1e-5, err_msg=name)


@given(scores=st.lists(st.integers(-2, 3), max_size=40), count=st.integers(1, 50), seed=st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_the_best_of_a_catalogue_are_those_of_a_whole_sort(scores: list[int], count: int, seed: int) -> None:
    places = np.random.default_rng(seed).permutation(len(scores))
    values = np.array(scores, dtype=np.float32)
    expected = sorted(range(len(scores)), key=lambda row: (-scores[row], places[row]))[:count]
    assert best_rows(values, places, count).tolist() == expected
