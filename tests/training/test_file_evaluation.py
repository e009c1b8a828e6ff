"""`marquee evaluate` where everybody goes round a cycle of items, and sometimes leaves one or two of them out.

What comes next is learnt, and figures are as others count them.
"""

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from feature_repo.composition import Weights
from marquee.cli.app import app
from marquee.cli.evaluate import _group_table, _interval, _table
from tests.training.columns import interactions
from training import file_evaluation
from training.file_evaluation import EvaluationError, FileEvaluation, _by_group, cut, split_of, topk
from training.interaction_files import LoggedInteractions, read_interactions
from training.metrics import bootstrap_interval
from training.tower_config import TowerConfig

# two processes on two cores
_NARROW = {"OMP_NUM_THREADS": "1", "MARQUEE_TORCH_THREADS": "1"}
_PEOPLE, _ITEMS, _LENGTH = 80, 40, 16
_MODELS = (
    "popularity",
    "popularity_7d",
    "content_based",
    "item_knn",
    "ease",
    "two_tower",
    "marquee",
    "marquee_composed",
)
_QUICK = TowerConfig(embedding_size=32, sequence_length=16, block_count=1, head_count=1, epochs=12, temporal_epochs=12)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = np.random.default_rng(5)
    rows = []
    for person in range(_PEOPLE):
        first, start = int(generator.integers(_ITEMS)), int(generator.integers(0, 5))
        places = first + np.cumsum(generator.choice([1, 2, 3], _LENGTH, p=[0.6, 0.2, 0.2]))
        rows += [
            (person, 1_000 + int(place) % _ITEMS, (start + step) * 86_400 + person) for step, place in enumerate(places)
        ]
    path = tmp_path_factory.mktemp("file") / "interactions.parquet"
    pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).to_parquet(path, index=False)
    return path


@pytest.fixture(scope="module")
def log(file: Path) -> LoggedInteractions:
    users = file.with_name("users.parquet")
    pd.DataFrame({"user_id": range(_PEOPLE), "half": ["low", "high"] * (_PEOPLE // 2)}).to_parquet(users, index=False)
    content = file.with_name("content.parquet")
    tags = [["odd"], ["even", "odd"], ["even"], []]
    about = [(item, tags[item % len(tags)]) for item in range(1_000, 1_000 + _ITEMS)]
    pd.DataFrame(about, columns=["item_id", "tags"]).to_parquet(content, index=False)
    return read_interactions(file, content, users)


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    """Stage, epoch and epochs at most of each that `found` took."""
    return []


@pytest.fixture(scope="module")
def found(log: LoggedInteractions, told: list[tuple[str, int, int]]) -> FileEvaluation:
    def progress(stage: str, epoch: int, epoch_count: int, _: float) -> None:
        told.append((stage, epoch, epoch_count))

    return file_evaluation.evaluate(log, "loo", 7, progress, _QUICK, weights=Weights(0.1, 0.2))


def test_every_epoch_is_told_with_how_many_there_are_at_most(
    found: FileEvaluation, told: list[tuple[str, int, int]]
) -> None:
    stages = (("loo: towers", _QUICK.epochs), ("loo: tuning", _QUICK.tuning_epochs))
    assert told == [(stage, epoch, most) for stage, most in stages for epoch in range(most)]


def _held_back(file: Path) -> dict[int, int]:
    """Each user's last item, by another way than ours."""
    frame = pd.read_parquet(file).sort_values("timestamp", kind="stable").drop_duplicates(["user_id", "item_id"])
    return dict(frame.groupby("user_id")["item_id"].last())


@pytest.mark.parametrize("model", ["two_tower", "marquee"])
def test_what_comes_next_is_learnt(found: FileEvaluation, model: str) -> None:
    (figure,) = (row.value for row in found.rows if (row.model, row.metric, row.k) == (model, "recall", 10))
    assert figure > 0.6  # by chance 0.4


def test_what_is_given_up_at_once_is_no_wish_of_the_re_ranker_either(file: Path, tmp_path: Path) -> None:
    """Every fourth content is begun by everybody and given up; where nobody knows, it is as wished as others."""
    rows = pd.read_parquet(file)
    is_given_up = rows["item_id"] % 4 == 0
    told = tmp_path / "told.parquet"
    rows.assign(completion=np.where(is_given_up, 0.01, 0.9)).to_parquet(told, index=False)
    shares = []
    for path in (file, told):
        log = read_interactions(path)
        lists = topk(file_evaluation.evaluate(log, "loo", 7, lambda *_: None, _QUICK), log, "marquee")
        shares.append(float((lists.loc[lists["rank"] <= 3, "item_id"] % 4 == 0).mean()))
    assert shares[1] < 0.5 * shares[0]


def test_figures_are_those_of_the_lists_as_anybody_counts_them(
    found: FileEvaluation, log: LoggedInteractions, file: Path
) -> None:
    wanted = _held_back(file)
    for model in _MODELS:
        lists = topk(found, log, model)
        hits = lists[[wanted[user] == item for user, item in zip(lists["user_id"], lists["item_id"], strict=True)]]
        ndcg = (1 / np.log2(hits.loc[hits["rank"] <= 10, "rank"] + 1)).sum() / len(wanted)
        (ours,) = (row.value for row in found.rows if (row.model, row.metric, row.k) == (model, "ndcg", 10))
        assert ours == pytest.approx(ndcg)
    assert len(found.split.users) == len(wanted)


@pytest.mark.parametrize("model", _MODELS)
def test_no_list_repeats_an_item_or_holds_one_that_was_seen(
    found: FileEvaluation, log: LoggedInteractions, file: Path, model: str
) -> None:
    lists = topk(found, log, model)
    assert not lists.duplicated(["user_id", "item_id"]).any()
    seen, wanted = pd.read_parquet(file), _held_back(file)
    seen = seen[[wanted[user] != item for user, item in zip(seen["user_id"], seen["item_id"], strict=True)]]
    assert lists.merge(seen, on=["user_id", "item_id"]).empty


def test_the_composed_lists_are_nearer_to_the_history_and_made_of_what_was_ranked(found: FileEvaluation) -> None:
    figures = {(row.model, row.metric): row.value for row in found.rows if row.k == 10}
    assert figures["marquee_composed", "miscalibration"] < figures["marquee", "miscalibration"]
    assert figures["marquee_composed", "diversity"] > figures["marquee", "diversity"]
    lists = {one.model: one for one in found.lists}
    # there are fewer candidates than places, so that both hold all of them
    ranked, composed = lists["marquee"].items, lists["marquee_composed"].items
    np.testing.assert_array_equal(np.sort(ranked, axis=1), np.sort(composed[:, : ranked.shape[1]], axis=1))
    assert not composed[:, ranked.shape[1] :].any()


def test_without_tags_nothing_is_composed(found: FileEvaluation, log: LoggedInteractions) -> None:
    plain = replace(found, lists=[one for one in found.lists if one.model != "marquee_composed"])
    with pytest.raises(EvaluationError, match="no lists of marquee_composed: it needs a file of content with tags"):
        topk(plain, log, "marquee_composed")


def test_figures_by_group_weigh_up_to_the_whole(found: FileEvaluation) -> None:
    for model, rows in found.groups.groupby("model"):
        (whole,) = (row.value for row in found.rows if (row.model, row.metric, row.k) == (model, "ndcg", 10))
        rows = rows[rows["property"] == "half"]
        assert set(rows["group"]) == {"low", "high"}
        assert np.average(rows["ndcg"], weights=rows["user_count"]) == pytest.approx(whole)


def test_the_figure_of_a_group_has_the_interval_of_its_users(
    found: FileEvaluation, log: LoggedInteractions, file: Path
) -> None:
    lists = topk(found, log, "marquee")
    hits = lists[(lists["rank"] <= 10) & (lists["user_id"].map(_held_back(file)) == lists["item_id"])]
    by_user = (1 / np.log2(hits.set_index("user_id")["rank"] + 1)).reindex(range(_PEOPLE), fill_value=0.0)
    groups = found.groups[(found.groups["model"] == "marquee") & (found.groups["property"] == "half")]
    for group, parity in (("low", 0), ("high", 1)):
        (row,) = groups[groups["group"] == group].to_dict("records")
        expected = bootstrap_interval(by_user.to_numpy()[parity::2])
        assert (row["low"], row["high"]) == pytest.approx(expected)
        assert row["low"] < row["ndcg"] < row["high"]


def test_a_group_of_one_user_has_no_interval(found: FileEvaluation, log: LoggedInteractions) -> None:
    alone = log.user_groups.assign(half=["low"] + ["high"] * (_PEOPLE - 1))
    groups = _by_group(found.split, found.lists[:1], replace(log, user_groups=alone), np.ones(_ITEMS + 1, dtype=bool))
    (row,) = groups[groups["group"] == "low"].to_dict("records")
    assert row["user_count"] == 1
    assert np.isnan([row["low"], row["high"]]).all()
    assert _interval(row["low"], row["high"]) == ""


def test_the_tables_can_be_read_where_a_hundred_characters_are_a_line(found: FileEvaluation) -> None:
    screen = Console(width=100, file=io.StringIO(), record=True)
    screen.print(_table(found))
    screen.print(_group_table(found, "marquee"))
    lines = screen.export_text().splitlines()
    figures = {(row.model, row.metric, row.k): row for row in found.rows}
    for model in _MODELS:
        ndcg, last = figures[model, "ndcg", 10], figures[model, "mrr", 50]
        (line,) = (line for line in lines if line.split()[1:2] == [model])
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert cells[1:3] == [f"{ndcg.value:.4f}", f"{ndcg.low:.4f}–{ndcg.high:.4f}"]
        assert cells[-1] == f"{last.value:.4f}"
    assert [name.strip() for name in next(line for line in lines if "NDCG@50" in line).strip("┃").split("┃")][
        -1
    ] == "MRR@50"
    assert all(len(line) <= 100 for line in lines) and not any("…" in line for line in lines)
    (group,) = found.groups[(found.groups["model"] == "marquee") & (found.groups["group"] == "low")].to_dict("records")
    assert any(f"{group['low']:.4f}–{group['high']:.4f}" in line for line in lines)


def test_a_content_of_the_held_back_side_alone_is_counted_and_left_out() -> None:
    rows = [(user, item, day) for user in range(2) for day, item in enumerate((1, 2, 3))] + [(0, 9, 5), (1, 4, 5)]
    split = split_of(cut(interactions([*rows, (2, 4, 0)]), "loo"), np.arange(10) < 9)
    assert (split.users.tolist(), [items.tolist() for items in split.relevant]) == ([1], [[4]])


def test_a_file_in_which_nobody_comes_back_is_refused() -> None:
    with pytest.raises(EvaluationError, match="leaves nobody with a content to be found"):
        split_of(cut(interactions([(user, user + 1, user) for user in range(6)]), "temporal"), np.ones(7, dtype=bool))


def test_the_command_writes_the_lists_of_one_model_with_the_ids_of_the_file(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "topk.parquet"
    said = CliRunner().invoke(
        app,
        [
            "evaluate",
            "--interactions",
            str(file),
            "--protocol",
            "temporal",
            "--model",
            "popularity",
            "--topk-out",
            str(out),
        ],
    )
    assert said.exit_code == 0, said.output
    lists = pd.read_parquet(out)
    assert lists.columns.tolist() == ["user_id", "item_id", "rank", "score"]
    assert lists["item_id"].between(1_000, 1_000 + _ITEMS - 1).all()
    assert (lists.sort_values(["user_id", "rank"]).groupby("user_id")["score"].diff().dropna() <= 0).all()


def test_processes_that_share_the_training_say_and_write_what_one_does(
    found: FileEvaluation, log: LoggedInteractions, file: Path, tmp_path: Path
) -> None:
    """One model's figure is as far from another's as chance among these users may take it at most: half an interval."""
    out, config = tmp_path / "topk.parquet", tmp_path / "two_tower.yml"
    config.write_text(yaml.safe_dump(_QUICK.model_dump(mode="json")))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
               Path(sys.executable).with_name("marquee"), "evaluate", "--interactions", file, "--protocol", "loo",
               "--content", file.with_name("content.parquet"), "--users", file.with_name("users.parquet"),
               "--topk-out", out]  # fmt: skip
    said = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=300,
        env={**os.environ, **_NARROW, "MARQUEE_TWO_TOWER_FILE": str(config)},
    ).stdout  # fmt: skip
    assert said.count("rows of marquee are in") == 1
    assert "…" not in said
    lines = [[cell.strip() for cell in line.split("│")] for line in said.splitlines()]
    shown = {line[1]: float(line[2]) for line in reversed(lines) if line[1:2] and line[1] in _MODELS}
    figures = {row.model: row for row in found.rows if (row.metric, row.k) == ("ndcg", 10)}
    for model in ("two_tower", "marquee"):
        one = figures[model]
        assert one.low is not None and one.high is not None
        noise = (one.high - one.low) / 2
        assert abs(shown[model] - one.value) <= noise
        # which is little beside what there is to learn
        assert noise < (one.value - figures["popularity"].value) / 4
    # what is not shared out is the same, and what is written is what was measured
    assert shown["popularity"] == round(figures["popularity"].value, 4)
    wanted, lists = _held_back(file), pd.read_parquet(out)
    ranks = lists.loc[(lists["rank"] <= 10) & (lists["user_id"].map(wanted) == lists["item_id"]), "rank"]
    assert (1 / np.log2(ranks + 1)).sum() / len(wanted) == pytest.approx(shown["marquee"], abs=5e-5)
