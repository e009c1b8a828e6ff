"""What a personal list is: not consumed yet, no title twice, explained by something real, and traceable."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow

from activation.serving.answers import History
from activation.serving.app import create_app
from activation.serving.artefact import Artefact, load_artefact
from activation.serving.features import neighbour_scores
from activation.serving.recommender import Visitor, open_recommender
from feature_repo import ranking_inputs
from feature_repo.candidates import TRENDING_SHARE
from feature_repo.online import read_contents, read_subscriber
from feature_repo.store import close_store, open_store
from marquee.settings import Settings
from tests.activation.serving import world
from tests.activation.serving.asking import ask, ids
from tests.activation.serving.conftest import VERSION, HouseTemplate
from tests.training.columns import contents as training_contents
from tests.waiting import wait_until
from training import baselines, towers
from training.histories import SECOND, Histories
from training.ranking_features import contexts


@pytest.fixture(scope="module")
def artefact(house_template: HouseTemplate) -> Artefact:
    return load_artefact(house_template.models_dir / VERSION)


def test_a_list_follows_the_taste_and_leaves_out_what_was_consumed(client: TestClient) -> None:
    answer = ask(client, subscriber_id=world.DRAMA_LOVER, count=8)
    assert not answer["is_fallback"]
    assert answer["fallback_reason"] is None
    assert len(ids(answer)) == 8
    assert {world.genre_of(content_id) for content_id in ids(answer)} == {"drama"}
    assert not set(ids(answer)) & {"c01", "c03", "c05"}


def test_a_title_comes_with_what_is_foreseen_of_it(client: TestClient) -> None:
    items = ask(client, subscriber_id=world.DRAMA_LOVER, count=8)["items"]
    assert [item["score"] for item in items] == sorted((item["score"] for item in items), reverse=True)
    for item in items:
        start = 1 / (1 + np.exp(-item["score"]))
        assert item["chances"] == {"start": pytest.approx(start, rel=1e-4), "finish": 0.5, "comes_back": None}
    assert all(item["chances"] is None for item in ask(client)["items"])


def test_a_list_is_for_the_device_that_it_is_shown_on(house: Settings, house_db: Connection[DictRow]) -> None:
    version = "20260308T120000-00000003"
    world.write_artefact(house.models_dir, version, tower=world.DeviceTower)
    world.promote(house_db, version)

    def genres_on(**query: object) -> set[str]:
        answer = ask(client, subscriber_id=world.COMEDY_LOVER, count=8, **query)
        assert answer["model_version"] == version
        return {world.genre_of(content_id) for content_id in ids(answer)}

    with TestClient(create_app(house)) as client:
        assert genres_on() == genres_on(device_type="web") == {"comedy"}
        assert genres_on(device_type="connected_tv") == {"drama"}
        on_television = {"subscriber_id": world.COMEDY_LOVER, "device_type": "connected_tv"}
        page = client.get("/v1/homepage", params=on_television).json()
        assert {world.genre_of(content_id) for content_id in ids(page["rails"][0])} == {"drama"}
        refused = client.get("/v1/recommendations", params={"device_type": "fridge"})
        assert refused.status_code == 422
        assert "'web', 'mobile' or 'connected_tv'" in refused.text


def test_a_version_of_before_probabilities_is_served_in_its_order(artefact: Artefact, tmp_path: Path) -> None:
    old = world.write_artefact(tmp_path, "old", ranker=world.OrderAlone())
    matrix = np.random.default_rng(3).normal(size=(9, len(ranking_inputs.NAMES))).astype(np.float32)
    before, now = load_artefact(old).rank(matrix), artefact.rank(matrix)
    np.testing.assert_array_equal(before[0], now[0])
    assert np.isnan(before[1]).all()
    assert before[1].shape == now[1].shape


def test_a_former_id_is_answered_as_the_present_one_and_what_was_refused_under_it_holds(
    client: TestClient, house_db: Connection[DictRow]
) -> None:
    world.join_profiles(house_db, world.COMEDY_LOVER, world.DRAMA_LOVER)
    present = ask(client, subscriber_id=world.DRAMA_LOVER)
    assert not present["is_fallback"]
    assert ids(ask(client, subscriber_id=world.COMEDY_LOVER)) == ids(present)
    assert not set(ids(present)) & {"c02", "c04"}, "what was consumed under the former id was consumed"
    page = client.get("/", params={"subscriber_id": world.COMEDY_LOVER}, headers={"accept": "text/html"})
    assert f'value="{world.DRAMA_LOVER}" selected' in page.text
    house_db.execute(
        "insert into activation.preference_changes (subscriber_id, purpose, is_granted, changed_via, changed_at) "
        "values (%s, 'personalization', false, 'preference_centre', %s)",
        (world.COMEDY_LOVER, world.NOW),
    )
    for subscriber_id in (world.COMEDY_LOVER, world.DRAMA_LOVER):
        assert ask(client, subscriber_id=subscriber_id)["fallback_reason"] == "no_consent"
    sample = client.get("/v1/subscribers/sample").json()
    assert {one["subscriber_id"]: one["kind"] for one in sample}[world.DRAMA_LOVER] == "no consent"


def test_what_the_marts_know_as_consumed_is_left_out_even_if_the_features_are_older(
    client: TestClient, house_db: Connection[DictRow]
) -> None:
    favourite = ids(ask(client, subscriber_id=world.DRAMA_LOVER))[0]
    house_db.execute(
        "insert into marts.fct_interactions (interaction_id, subscriber_id, content_id, occurred_at) "
        "values ('late', %s, %s, %s)",
        (world.DRAMA_LOVER, favourite, world.NOW),
    )
    assert favourite not in ids(ask(client, subscriber_id=world.DRAMA_LOVER))


def test_two_contents_with_one_title_are_shown_as_one(client: TestClient) -> None:
    answer = ask(client, subscriber_id=world.DRAMA_LOVER, count=20)
    titles = [item["title"] for item in answer["items"]]
    assert "The Same Name" in titles
    assert len(titles) == len(set(titles))
    assert len(ids(answer)) == len(set(ids(answer)))


def test_an_explanation_names_a_title_that_the_subscriber_consumed(client: TestClient) -> None:
    history = {f"because you watched {world.title_of(content_id)}" for content_id in ("c01", "c03", "c05")}
    reasons = {item["reason"] for item in ask(client, subscriber_id=world.DRAMA_LOVER)["items"]}
    assert reasons
    assert reasons <= history


def test_an_abandoned_title_explains_nothing(house: Settings, house_db: Connection[DictRow]) -> None:
    house_db.execute(
        "update features.ftr_subscriber__sequence set recent_watched_fractions = array[0.9, 0.9, 0.05] "
        "where subscriber_id = %s",
        (world.DRAMA_LOVER,),
    )
    world.put_online(house, "again")
    recommender = open_recommender(house)
    try:
        items = recommender.recommend(Visitor(world.DRAMA_LOVER), 10, "homepage", world.NOW).items
        assert {item.reason for item in items} <= {f"because you watched {world.title_of(c)}" for c in ("c01", "c03")}
    finally:
        recommender.close()


def test_model_version_and_request_id_lead_from_the_answer_to_its_impression(
    client: TestClient, house_db: Connection[DictRow]
) -> None:
    answer = ask(client, subscriber_id=world.DRAMA_LOVER, surface="article_page")
    assert answer["model_version"] == VERSION
    wait_until(lambda: impression(house_db, answer["request_id"]) is not None, 10, "the impression")
    shown = impression(house_db, answer["request_id"])
    assert shown is not None
    assert shown["surface"] == "article_page"
    assert shown["subscriber_id"] == world.DRAMA_LOVER
    assert shown["model_version"] == VERSION
    assert shown["content_ids"] == ids(answer)
    assert not shown["is_fallback"]


def impression(connection: Connection[DictRow], request_id: str) -> DictRow | None:
    return connection.execute("select * from activation.impressions where request_id = %s", (request_id,)).fetchone()


def test_every_request_has_an_id_of_its_own(client: TestClient) -> None:
    assert len({ask(client, subscriber_id=world.DRAMA_LOVER)["request_id"] for _ in range(5)}) == 5


def test_a_cookie_leads_to_the_same_list_as_the_subscriber_whose_it_is(client: TestClient) -> None:
    by_cookie = ask(client, anonymous_id=f"anon-{world.COMEDY_LOVER}")
    assert by_cookie["items"] == ask(client, subscriber_id=world.COMEDY_LOVER)["items"]
    assert not by_cookie["is_fallback"]


def test_the_homepage_shows_no_title_twice_and_nothing_consumed(client: TestClient) -> None:
    page = client.get("/v1/homepage", params={"subscriber_id": world.DRAMA_LOVER}).json()
    shown = [item for rail in page["rails"] for item in rail["items"]]
    titles = [item["title"] for item in shown]
    assert [rail["rail_id"] for rail in page["rails"]][:2] == ["for_you", "because"]
    assert len(titles) == len(set(titles))
    assert not {item["content_id"] for item in shown} & {"c01", "c03", "c05"}
    assert page["rails"][1]["title"] == "Because you watched Title c05"


def test_each_rail_of_a_homepage_is_one_impression(client: TestClient, house_db: Connection[DictRow]) -> None:
    page = client.get("/v1/homepage", params={"subscriber_id": world.DRAMA_LOVER}).json()

    def surfaces() -> set[str]:
        rows = house_db.execute(
            "select surface from activation.impressions where request_id = %s", (page["request_id"],)
        ).fetchall()
        return {row["surface"] for row in rows}

    wanted = {f"homepage/{rail['rail_id']}" for rail in page["rails"]}
    wait_until(lambda: surfaces() == wanted, 10, "an impression for each rail")


def test_the_ranker_judges_as_many_candidates_as_in_training(client: TestClient) -> None:
    # 40 contents, 3 consumed: without the manifest's limit, all 37 would be candidates
    shown = ids(ask(client, subscriber_id=world.DRAMA_LOVER, count=100))
    assert len(shown) <= world.CANDIDATE_COUNT * (1 + TRENDING_SHARE)
    # the week's most consumed are among them, however far from the taste; c32 is neither near nor of the week
    assert {"c02", "c04", "c06"} <= set(shown)
    assert "c32" not in shown


def test_the_ranker_is_given_the_matrix_that_feature_repo_defines(house: Settings) -> None:
    """The same numbers by hand: item-kNN of the history, online features in the order of the model's items."""
    recommender = open_recommender(house)
    try:
        snapshot = recommender.snapshot
        assert snapshot.artefact is not None
        assert snapshot.contents is not None
        candidates = np.array([8, 2, 20, 39], dtype=np.int64)
        names = [world.CONTENT_IDS[item - 1] for item in candidates]
        now = world.NOW + timedelta(hours=5)
        store = open_store(house)
        subscriber, contents = read_subscriber(store, world.DRAMA_LOVER), read_contents(store, names)
        close_store(store)
        recent = [world.CONTENT_IDS.index(name) + 1 for name in subscriber.recent_content_ids]
        assert recent == [1, 3, 5]
        similarity = load_artefact(house.models_dir / VERSION).neighbours.matrix.toarray()
        nearby = np.array([sum(similarity[item, other] for item in recent) for other in candidates])
        scores = np.array([0.4, 0.1, 0.9, -0.2], dtype=np.float32)
        # c09 was consumed too, longer ago than the sequence reaches
        taste = 0.5 * (nearby + similarity[9, candidates])
        nearby, taste = nearby.astype(np.float32), taste.astype(np.float32)
        # as training has it, of the same history and moment
        told = _as_training_has_it(snapshot.artefact, list(subscriber.recent_content_ids))
        moments = np.array(subscriber.recent_consumed_seconds) * SECOND
        catalogue = training_contents(world.CONTENT_COUNT)
        catalogue = replace(catalogue, side=np.concatenate([snapshot.contents.features.types] * 2, axis=1))
        (context,) = contexts(replace(told, moments=moments), np.array([now.timestamp() * SECOND], np.int64), catalogue)
        assert len(context.consumed) == 3
        expected = ranking_inputs.ranking_inputs(subscriber, contents, scores, nearby, taste, context)
        ever = frozenset({"c01", "c09"})
        found = snapshot.contents.ranking_matrix(snapshot.artefact, subscriber, ever, candidates, scores, now)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    finally:
        recommender.close()


@pytest.mark.parametrize("subscriber_id", [world.DRAMA_LOVER, world.COMEDY_LOVER])
def test_a_model_with_an_index_gives_the_same_list(house: Settings, subscriber_id: str) -> None:
    def lists() -> tuple[bool, list[tuple[str, float | None, str]]]:
        recommender = open_recommender(house)
        try:
            recommendation = recommender.recommend(Visitor(subscriber_id), 30, "homepage", world.NOW)
            assert recommender.snapshot.artefact is not None
            items = [(item.content_id, item.score, item.reason) for item in recommendation.items]
            return recommender.snapshot.artefact.nearest.is_exact, items
        finally:
            recommender.close()

    was_exact, without_index = lists()
    world.add_index(house.models_dir / VERSION)
    is_exact, with_index = lists()
    assert was_exact
    assert not is_exact
    assert len(with_index) >= world.CANDIDATE_COUNT
    assert with_index == without_index


histories = st.lists(st.sampled_from([*world.CONTENT_IDS, "c99-gone"]), min_size=1, max_size=30)


@given(histories)
@settings(max_examples=60, deadline=None)
def test_item_knn_of_a_request_is_that_of_training(artefact: Artefact, history: list[str]) -> None:
    """Window, numbering and repeats alike; a content that the model has never seen is passed over."""
    newest = _as_training_has_it(artefact, history).newest(ranking_inputs.NEIGHBOUR_WINDOW)
    candidates = np.arange(1, world.CONTENT_COUNT + 1)
    (trained,) = baselines.neighbour_scores(artefact.neighbours.matrix, newest)
    np.testing.assert_allclose(neighbour_scores(artefact, history, candidates), trained[candidates], atol=1e-6)


@given(histories)
@settings(max_examples=60, deadline=None)
def test_the_tower_is_given_the_sequence_that_training_would_give_it(artefact: Artefact, history: list[str]) -> None:
    given_to_tower: list[tuple[np.ndarray, ...]] = []

    def tower(*inputs: torch.Tensor) -> torch.Tensor:
        given_to_tower.append(tuple(values.numpy().copy() for values in inputs))
        return torch.zeros((1, 4))

    seconds, fractions = tuple(range(len(history))), tuple(0.5 / (n + 1) for n in range(len(history)))
    replace(artefact, _tower=tower).subscriber_embedding(
        History(tuple(history), fractions, seconds), {}, None, world.NOW
    )
    expected = towers.padded(
        _as_training_has_it(artefact, history).newest(world.SEQUENCE_LENGTH), world.SEQUENCE_LENGTH
    )
    for found, wanted in zip(given_to_tower[0], expected, strict=False):
        np.testing.assert_allclose(found, wanted)
    assert given_to_tower[0][3].tolist() == [int(world.NOW.timestamp())]


def _as_training_has_it(artefact: Artefact, history: list[str]) -> Histories:
    known = [(n, name) for n, name in enumerate(history) if name in artefact.item_of]
    return Histories(
        np.array([world.CONTENT_IDS.index(name) + 1 for _, name in known], dtype=np.int32),
        np.array([n * SECOND for n, _ in known], dtype=np.int64),
        np.array([0.5 / (n + 1) for n, _ in known], dtype=np.float32),
        np.zeros(len(known), dtype=np.int8),
        np.array([0, len(known)]),
        np.zeros((1, 1), dtype=np.int64),
    )


@pytest.mark.parametrize("count", [1, 3])
def test_as_many_titles_come_as_were_asked_for(client: TestClient, count: int) -> None:
    assert len(ids(ask(client, subscriber_id=world.COMEDY_LOVER, count=count))) == count
