from pathlib import Path

import pandas as pd
import pytest

from monitoring.checks import run_check
from tests.monitoring.world import CHAMPION, NOW, RUN, SUBSCRIBER_COUNT, World, subscriber


def test_an_even_recommender_passes(world: World) -> None:
    assert run_check("fairness", RUN, NOW, world.settings) == "pass"
    found = world.findings("fairness")
    for attribute in ("gender", "age_band", "region", "plan", "tenure"):
        for metric in ("ndcg", "recall"):
            assert found[attribute, f"{metric}_ratio"]["value"] == pytest.approx(1)
        assert found[attribute, "coverage_ratio"]["verdict"] == "pass"


def test_a_recommender_that_serves_one_gender_only_fails_for_gender_alone(world: World) -> None:
    # even numbers are the women; both thirds of their age bands get the same
    world.write_artefact(CHAMPION, hits={"marquee": lambda n: 1 if n % 2 == 0 else None})
    assert run_check("fairness", RUN, NOW, world.settings) == "fail"
    assert world.concerns("fairness") == {"gender": "fail"}
    row = world.findings("fairness")["gender", "ndcg_ratio"]
    assert (row["value"], row["threshold"]) == (0, 0.5)
    assert "male 0 (120) beside female 1 (120), ratio 0.00" in row["detail"]
    assert "clearly below 0.50" in row["detail"]


def test_a_smaller_gap_is_a_warning(world: World) -> None:
    # women: 60 of 120, men: 42 of 120
    world.write_artefact(
        CHAMPION, hits={"marquee": lambda n: 1 if (n // 6 % 2 == 0 if n % 2 == 0 else n // 6 % 3 == 0) else None}
    )
    assert run_check("fairness", RUN, NOW, world.settings) == "warn"
    row = world.findings("fairness")["gender", "ndcg_ratio"]
    assert (row["verdict"], row["threshold"]) == ("warn", 0.8)
    assert row["value"] == pytest.approx(42 / 60)


def test_a_group_that_is_too_small_is_left_out_and_said_so(world: World) -> None:
    for n in range(20):
        world.connection.execute(
            "update marts.dim_subscribers set age_band = '55_plus' where subscriber_id = %s", (subscriber(n),)
        )
    world.connection.commit()
    # the small group gets nothing at all
    world.write_artefact(CHAMPION, hits={"marquee": lambda n: None if n < 20 else 1})
    assert run_check("fairness", RUN, NOW, world.settings) == "pass"
    found = world.findings("fairness")
    assert found["age_band 55_plus", "group_size"]["value"] == 20
    assert "too few" in found["age_band 55_plus", "group_size"]["detail"]
    assert "55_plus" not in found["age_band", "ndcg_ratio"]["detail"]


def test_one_group_alone_is_nothing_to_compare(world: World) -> None:
    world.connection.execute("update marts.dim_subscribers set gender = 'unknown'")
    world.connection.commit()
    assert run_check("fairness", RUN, NOW, world.settings) == "warn"
    found = world.findings("fairness")
    assert "nothing to compare" in found["gender", "ndcg_ratio"]["detail"]
    assert found["gender unknown", "group_size"]["value"] == SUBSCRIBER_COUNT


def test_genres_that_part_the_genders_more_than_their_histories_do_are_a_warning(world: World) -> None:
    assert run_check("fairness", RUN, NOW, world.settings) == "pass"
    world.connection.execute(
        "update marts.dim_content set genres = case when right(content_id, 1)::int %% 2 = 0 then array['drama'] "
        "else array['action'] end",
        (),
    )
    world.connection.commit()
    folder = world.settings.models_dir / CHAMPION
    _give_each_gender_its_genre(folder)
    run_check("fairness", RUN, NOW, world.settings)
    row = world.findings("fairness")["gender", "genre_exposure_distance"]
    assert row["verdict"] == "warn"
    assert row["value"] > row["threshold"]


def _give_each_gender_its_genre(folder: Path) -> None:
    """Women are shown contents with even numbers only, men odd ones."""
    path = folder / "evaluation" / "topk.parquet"
    topk = pd.read_parquet(path)
    number = topk["content_id"].str[1:].astype(int)
    person = topk["subscriber_id"].str[1:].astype(int)
    topk["content_id"] = "c" + (number - number % 2 + person % 2).astype(str).str.zfill(3)
    topk.to_parquet(path, index=False)
