"""Files of impressions and choices: what is read, what the reward model learns, and what is said of bad files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from marquee.cli import evaluate_policy
from marquee.cli.app import app
from marquee.errors import MarqueeError
from training import off_policy
from training.impression_files import read_impressions
from training.reward_model import predict_rewards

_POLICY = "policy_probability"
_SHOWN = {
    "request_id": ["r1", "r1", "r2", "r3"],
    "position": [1, 2, 1, 1],
    "content_id": ["a", "b", "a", "b"],
    "propensity": [0.5, 0.5, 0.5, 0.25],
    "reward": [1, 0, 0, 1],
    _POLICY: [0.75, 0.25, 0.75, 0.25],
}
_CHOICES = {
    "request_id": ["r1", "r1", "r1", "r1", "r2", "r2", "r3", "r3"],
    "position": [1, 1, 2, 2, 1, 1, 1, 1],
    "content_id": ["a", "b"] * 4,
    _POLICY: [0.75, 0.25] * 4,
}


def _write(folder: Path, name: str, columns: dict[str, object]) -> Path:
    path = folder / f"{name}.parquet"
    pd.DataFrame({key: value for key, value in columns.items() if value is not None}).to_parquet(path, index=False)
    return path


def _clusters(folder: Path, changes: dict[str, object]) -> list[list[int]]:
    """Rows by cluster."""
    clusters = read_impressions(_write(folder, "log", {**_SHOWN, **changes}), [_POLICY]).rounds.clusters
    return sorted(np.flatnonzero(clusters == number).tolist() for number in np.unique(clusters))


def test_rounds_are_those_of_the_file_in_its_order(tmp_path: Path) -> None:
    log = read_impressions(_write(tmp_path, "log", _SHOWN), [_POLICY])
    assert log.rounds.rewards.tolist() == [1, 0, 0, 1]
    assert log.rounds.propensities.tolist() == [0.5, 0.5, 0.5, 0.25]
    assert log.rounds.policies[_POLICY].tolist() == [0.75, 0.25, 0.75, 0.25]
    assert log.choices is None


def test_rounds_of_a_request_or_of_a_known_subscriber_go_together(tmp_path: Path) -> None:
    assert _clusters(tmp_path, {}) == [[0, 1], [2], [3]]
    # r2 is nobody's whom we know, and so is alone
    assert _clusters(tmp_path, {"subscriber_id": ["s", "s", None, "s"]}) == [[0, 1, 3], [2]]


def test_several_surfaces_of_a_request_have_the_same_positions(tmp_path: Path) -> None:
    changes = {"request_id": ["r1"] * 4, "surface": ["home", "home", "search", "more"]}
    assert _clusters(tmp_path, changes) == [[0, 1, 2, 3]]


@pytest.mark.parametrize("kind", ["clicks", "shares"])
def test_the_reward_model_learns_contents_and_context(tmp_path: Path, kind: str) -> None:
    generator = np.random.default_rng(2)
    count = 4_000
    contents, devices = generator.integers(0, 2, count), generator.integers(0, 2, count)
    hours = generator.normal(12, 4, count)
    chance = 0.1 + 0.4 * contents + 0.2 * devices
    rewards = generator.random(count) < chance if kind == "clicks" else chance + 0.1 * (hours - 12)
    shown = {
        "request_id": range(count),
        "position": [1] * count,
        "content_id": contents,
        "propensity": [0.5] * count,
        "reward": np.asarray(rewards, dtype=np.float64),
        "context_device": np.array(["web", "television"])[devices],
        "context_hour": hours,
        _POLICY: np.where(contents == 1, 0.75, 0.25),
    }
    choices = pd.DataFrame({"request_id": np.repeat(range(count), 2), "position": 1, "content_id": [0, 1] * count})
    choices[_POLICY] = [0.25, 0.75] * count
    log = read_impressions(
        _write(tmp_path, "log", shown), [_POLICY], _write(tmp_path, "choices", dict(choices.items()))
    )
    predictions = predict_rewards(log, seed=1)[_POLICY]
    by_hour = 0.0 if kind == "clicks" else 0.1 * (hours - 12)
    assert np.abs(predictions.shown - chance - by_hour).max() < (0.1 if kind == "clicks" else 0.01)
    truth = 0.1 + 0.4 * 0.75 + 0.2 * devices + by_hour
    assert np.abs(predictions.policy - truth).max() < (0.1 if kind == "clicks" else 0.01)


def test_nobody_is_predicted_by_a_model_that_saw_them(tmp_path: Path) -> None:
    """Rewards that only a round's own would tell: a model that saw them would know more than their mean."""
    count = 200
    shown = {
        "request_id": range(count),
        "position": [1] * count,
        "content_id": range(count),
        "propensity": [0.5] * count,
        "reward": np.random.default_rng(4).integers(0, 2, count),
        _POLICY: [1.0] * count,
    }
    choices = {name: shown[name] for name in ("request_id", "position", "content_id", _POLICY)}
    log = read_impressions(_write(tmp_path, "log", shown), [_POLICY], _write(tmp_path, "choices", choices))
    predictions = predict_rewards(log, seed=1)[_POLICY]
    assert np.corrcoef(predictions.shown, log.rounds.rewards)[0, 1] < 0.1
    # all the policy does is what was shown
    assert predictions.policy.tolist() == predictions.shown.tolist()


def test_a_log_without_any_reward_has_a_model_too(tmp_path: Path) -> None:
    log = read_impressions(
        _write(tmp_path, "log", {**_SHOWN, "reward": [0] * 4}), [_POLICY], _write(tmp_path, "choices", _CHOICES)
    )
    assert predict_rewards(log, seed=1)[_POLICY].policy.tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"propensity": None}, "has no column propensity, but request_id"),
        ({_POLICY: None}, "has no column policy_probability"),
        ({"propensity": [0.5, 0.5, 0.0, 0.25]}, "row 3: propensity is 0; write the probability with which the logged"),
        ({"propensity": [0.5, None, 0.5, 0.25]}, "row 2: propensity is empty; write the probability"),
        ({"propensity": ["half", "0.5", "1", "1"]}, "propensity is 'half', no number; write the column as numbers"),
        ({_POLICY: [0.75, 0.25, 0.75, 75]}, "row 4: policy_probability is 75; write the probability"),
        ({"reward": [1, 0, None, 1]}, "row 3: reward is empty; write a finite number"),
        ({"content_id": ["a", None, "a", "b"]}, "row 2: content_id is empty; leave such rows out"),
        ({"content_id": [["a", "b"]] * 4}, "content_id holds lists; unnest them"),
        ({"context_age": [1.0, None, 2.0, 3.0]}, "row 2: context_age is empty"),
        ({"position": [1, 1, 1, 1]}, "row 2: request_id r1, position 1 was there before"),
    ],
)
def test_impressions_that_cannot_be_evaluated_say_what_to_do(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    path = _write(tmp_path, "log", {**_SHOWN, **changes})
    with pytest.raises(MarqueeError, match=f"log.parquet: {said}"):
        read_impressions(path, [_POLICY])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({_POLICY: [0.75, 0.25, 0.5, 0.25] + [0.75, 0.25] * 2}, "request_id r1, position 2 has choices that add up to"),
        ({"request_id": ["r1"] * 4 + ["r2"] * 2 + ["r4"] * 2}, "request_id r3, position 1 has no choices; write every"),
        ({"request_id": range(8)}, "request_id is such as 0, and 'r1' in the impressions; write both"),
        (
            {"content_id": ["a", "a"] + ["a", "b"] * 3},
            "row 2: request_id r1, position 1, content_id a was there before",
        ),
        (
            {_POLICY: [0.25, 0.75] * 4},
            "policy_probability is 0.25 for content_id a at request_id r1, position 1, and",
        ),
        ({"content_id": ["c", "b"] + ["a", "b"] * 3}, "policy_probability is 0 for content_id a at request_id r1"),
        ({_POLICY: [1.5, -0.5] + [0.75, 0.25] * 3}, "row 1: policy_probability is 1.5; write a probability"),
    ],
)
def test_choices_that_are_not_those_of_the_impressions_say_so(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    path = _write(tmp_path, "log", _SHOWN)
    with pytest.raises(MarqueeError, match=f"choices.parquet: {said}"):
        read_impressions(path, [_POLICY], _write(tmp_path, "choices", {**_CHOICES, **changes}))


def test_a_reward_model_needs_others_to_learn_from(tmp_path: Path) -> None:
    log = read_impressions(
        _write(tmp_path, "log", {**_SHOWN, "subscriber_id": ["s"] * 4}),
        [_POLICY],
        _write(tmp_path, "choices", _CHOICES),
    )
    with pytest.raises(off_policy.OffPolicyError, match="all rounds are of one subscriber or request"):
        predict_rewards(log, seed=1)


def _said(*arguments: str) -> str:
    # the width that a terminal had when the command was first imported is kept
    evaluate_policy._console.width = 120
    finished = CliRunner().invoke(app, ["evaluate-policy", *arguments])
    assert finished.exit_code == 0, finished.output
    return finished.output


def test_the_command_shows_each_policy_beside_the_logged_one(tmp_path: Path) -> None:
    log = _write(tmp_path, "log", {**_SHOWN, "bold": [1.0, 0.0, 1.0, 0.0]})
    said = _said("--impressions", str(log), "--policy", _POLICY, "--policy", "bold")
    # ips (1.5 + 1) / 4 and 2 / 4, beside 2 / 4
    for row in ("logged policy │ 0.50000", "inverse propensity │ 0.62500", "inverse propensity │ 0.50000"):
        assert row in " ".join(said.split()), said
    assert "bold: not enough to conclude (by the self-normalised estimate)" in said
    assert "doubly robust" not in said


def test_the_command_adds_the_doubly_robust_estimate_where_choices_are_given(tmp_path: Path) -> None:
    log, choices = _write(tmp_path, "log", _SHOWN), _write(tmp_path, "choices", _CHOICES)
    said = _said("--impressions", str(log), "--choices", str(choices), "--clip", "10")
    assert "policy_probability: not enough to conclude (by the doubly robust estimate)" in said
    assert "direct method" in said


def test_the_command_refuses_other_files_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("request_id,position")
    for name, said in (("text", "is no Parquet file"), ("none", "there is no such file")):
        finished = CliRunner().invoke(app, ["evaluate-policy", "--impressions", str(tmp_path / f"{name}.parquet")])
        assert isinstance(finished.exception, MarqueeError)
        assert said in str(finished.exception)
