from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from monitoring.checks import run_check
from monitoring.quality import _Evidently
from monitoring.recommendations import Evaluation, GenreTable
from monitoring.warehouse import find_champion, read_contents
from tests.monitoring.world import CHAMPION, NOW, RUN, World, every


def test_a_champion_that_beats_the_baselines_passes(world: World) -> None:
    assert run_check("quality", RUN, NOW, world.settings) == "pass"
    found = world.findings("quality")
    ours = found["marquee", "ndcg@10_loo"]
    assert ours["value"] == pytest.approx(0.5)
    assert ours["threshold"] == pytest.approx(0.2 / np.log2(5))
    assert found["marquee", "ndcg@10_temporal_upper_bound"]["value"] > 0.5


def test_a_champion_that_misses_nothing_is_measured_too(world: World) -> None:
    # as on a small imported catalogue: no list lacks what it should hold
    world.write_artefact(CHAMPION, hits={"marquee": every(1), "item_knn": every(1)})
    run_check("quality", RUN, NOW, world.settings)
    assert world.findings("quality")["marquee", "ndcg@10_loo"]["value"] == pytest.approx(1.0)


def test_a_champion_that_loses_to_its_neighbours_fails(world: World) -> None:
    world.write_artefact(CHAMPION, hits={"marquee": every(6, 4), "item_knn": every(5, 4)})
    assert run_check("quality", RUN, NOW, world.settings) == "fail"
    assert world.findings("quality")["marquee", "ndcg@10_loo"]["verdict"] == "fail"


@pytest.mark.parametrize(
    ("popularity_step", "verdict"),
    [(3, "pass"), (1, "fail")],
    ids=["a loss that chance explains passes", "a clear loss fails"],
)
def test_only_a_clear_loss_to_popularity_counts(world: World, popularity_step: int, verdict: str) -> None:
    hits = {"marquee": every(4), "popularity": every(popularity_step)}
    world.write_artefact(CHAMPION, temporal_hits=hits)
    run_check("quality", RUN, NOW, world.settings)
    assert world.findings("quality")["marquee", "ndcg@10_temporal_upper_bound"]["verdict"] == verdict


def test_the_same_titles_for_everybody_are_a_warning(world: World) -> None:
    world.write_artefact(CHAMPION, hits={"marquee": every(300), "item_knn": every(300)}, has_one_list=True)
    run_check("quality", RUN, NOW, world.settings)
    found = world.findings("quality")
    assert found["marquee", "coverage@10"]["verdict"] == "warn"
    assert found["marquee", "personalization"]["verdict"] == "warn"
    assert found["marquee", "personalization"]["value"] < 0.1


def test_coverage_counts_only_the_first_ten_places(world: World) -> None:
    world.write_artefact(CHAMPION, hits={"marquee": every(10**6)}, has_one_list=True)
    run_check("quality", RUN, NOW, world.settings)
    # ten for everybody, the hit of the first, and the next one for those who would be shown what is to be found
    assert world.findings("quality")["marquee", "coverage@10"]["value"] == pytest.approx(12 / 120)


def test_a_segment_that_clearly_loses_is_named(world: World) -> None:
    # half of the subscribers are lapsed: nothing for them, though overall Marquee leads
    world.write_artefact(CHAMPION, hits={"marquee": lambda n: 1 if n // 2 % 2 == 0 else None, "item_knn": every(5, 2)})
    assert run_check("quality", RUN, NOW, world.settings) == "warn"
    assert world.concerns("quality") == {"lifecycle_stage lapsed": "warn"}


def test_a_segment_of_few_subscribers_is_not_judged(world: World) -> None:
    world.connection.execute("update marts.dim_subscribers set plan = 'family' where subscriber_id < 's0012'")
    world.connection.commit()
    run_check("quality", RUN, NOW, world.settings)
    row = world.findings("quality")["plan family", "ndcg@10_loo_upper_bound"]
    assert (row["value"], row["verdict"]) == (None, "pass")
    assert "12 subscribers, too few" in row["detail"]


def test_evidently_measures_what_training_measures(world: World) -> None:
    champion = find_champion(world.connection, NOW, world.settings)
    for protocol in ("loo", "temporal"):
        evaluation = Evaluation.read(champion, protocol)
        measured = _Evidently(evaluation, read_contents(world.connection)).values["NDCG"]
        expected = [float(evaluation.ndcg(model).mean()) for model in ("marquee", "item_knn")]
        assert measured == pytest.approx(expected)


def test_genre_diversity_has_known_answers() -> None:
    contents = pd.DataFrame(
        {"genres": [["drama"], ["drama"], ["action"], ["drama", "action"]]}, index=["a", "b", "c", "d"]
    )
    lists = pd.DataFrame(
        {"subscriber_id": ["same"] * 2 + ["apart"] * 2 + ["between"] * 2, "content_id": list("abacad")}
    )
    diversity = GenreTable.of(contents).list_diversity(lists)
    assert diversity["same"] == pytest.approx(0)
    assert diversity["apart"] == pytest.approx(1)
    assert diversity["between"] == pytest.approx(1 - 1 / np.sqrt(2))


def test_answers_that_fell_back_for_a_fault_fail_and_are_named(world: World) -> None:
    world.serve({None: 70, "deadline": 20, "no_consent": 10}, NOW - timedelta(days=1))
    world.serve({"deadline": 500}, NOW - timedelta(days=8))
    assert run_check("quality", RUN, NOW, world.settings) == "fail"
    found = world.findings("quality")
    assert found["serving", "fallback_share"]["value"] == pytest.approx(0.3)
    assert found["serving", "faulty_fallback_share"]["value"] == pytest.approx(0.2)
    assert found["serving", "faulty_fallback_share"]["detail"] == "by reason: deadline 20"


def test_answers_without_consent_are_no_fault(world: World) -> None:
    world.serve({None: 50, "no_consent": 40, "no_history": 10}, NOW - timedelta(days=1))
    assert run_check("quality", RUN, NOW, world.settings) == "pass"


@pytest.mark.parametrize("file", ["topk", "relevant", "seen"])
def test_an_evaluation_that_is_gone_fails_by_name(world: World, file: str) -> None:
    (world.settings.models_dir / CHAMPION / "evaluation" / f"{file}.parquet").unlink()
    assert run_check("quality", RUN, NOW, world.settings) == "fail"
    assert f"evaluation/{file}.parquet" in world.findings("quality")["champion", "availability"]["detail"]
