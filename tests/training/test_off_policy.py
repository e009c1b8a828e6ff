"""Off-policy estimates: figures worked out by hand, the properties that their papers prove, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.bandit import POLICY, TRUE_LOGGED_VALUE, TRUE_VALUE, simulate
from training.off_policy import (
    Interval,
    LoggedRounds,
    OffPolicyError,
    PolicyEvaluation,
    RewardPredictions,
    Verdict,
    evaluate,
)

_TIMES = 300
_ROUNDS = 500


def _rounds(
    rewards: list[float], propensities: list[float], probabilities: list[float], clusters: list[int] | None = None
) -> LoggedRounds:
    return LoggedRounds(
        np.array(rewards, dtype=np.float64),
        np.array(propensities, dtype=np.float64),
        np.array(clusters if clusters is not None else range(len(rewards)), dtype=np.int64),
        {POLICY: np.array(probabilities, dtype=np.float64)},
    )


def _values(found: PolicyEvaluation) -> dict[str, float]:
    return {estimate.estimator: estimate.value.value for estimate in found.estimates}


# weights 2, 0.5, 1, 0 and their figures
_BY_HAND = _rounds([1, 0, 1, 1], [0.25, 0.5, 0.5, 0.2], [0.5, 0.25, 0.5, 0.0])
_EXPECTED = RewardPredictions(shown=np.array([0.5, 0.5, 0.25, 0.5]), policy=np.array([0.75, 0.25, 0.5, 0.5]))


def test_estimates_are_those_worked_out_by_hand() -> None:
    found = evaluate(_BY_HAND, POLICY, predictions=_EXPECTED)
    # ips (2 + 0 + 1 + 0) / 4; snips 3 / 3.5; dm 2 / 4; dr dm + (2 x 0.5 - 0.5 x 0.5 + 1 x 0.75) / 4
    assert _values(found) == pytest.approx({"ips": 0.75, "snips": 6 / 7, "dm": 0.5, "dr": 0.875})
    assert found.logged.value == 0.75
    assert found.effective_rounds == pytest.approx(3.5**2 / 5.25)
    assert found.effective_rewards == pytest.approx(9 / 5)
    assert (found.mean_weight, found.largest_weight, found.clipped_share) == (0.875, 2.0, 0.0)
    differences = {estimate.estimator: estimate.difference.value for estimate in found.estimates}
    assert differences == pytest.approx({"ips": 0.0, "snips": 6 / 7 - 0.75, "dm": -0.25, "dr": 0.125})


def test_a_clipped_weight_counts_up_to_the_limit() -> None:
    found = evaluate(_BY_HAND, POLICY, predictions=_EXPECTED, clip=1)
    # weights 1, 0.5, 1, 0
    assert _values(found) == pytest.approx({"ips": 0.5, "snips": 0.8, "dm": 0.5, "dr": 0.5 + (0.5 - 0.25 + 0.75) / 4})
    assert found.clipped_share == pytest.approx(1 / 3.5)
    assert (found.mean_weight, found.largest_weight) == (0.875, 2.0)


def test_without_a_reward_model_only_weights_count() -> None:
    assert list(_values(evaluate(_BY_HAND, POLICY))) == ["ips", "snips"]


_logs = st.lists(
    st.tuples(
        st.floats(-5, 5), st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 3), st.floats(-5, 5), st.floats(-5, 5)
    ),
    min_size=1,
    max_size=20,
)


def _drawn(rows: list[tuple[float, float, float, int, float, float]]) -> tuple[LoggedRounds, RewardPredictions]:
    rewards, propensities, probabilities, clusters, shown, expected = map(list, zip(*rows, strict=True))
    return _rounds(rewards, propensities, probabilities, clusters), RewardPredictions(
        np.array(shown), np.array(expected)
    )


@settings(max_examples=40, deadline=None)
@given(_logs)
def test_a_policy_on_its_own_log_has_the_mean_of_the_log(
    rows: list[tuple[float, float, float, int, float, float]],
) -> None:
    rounds, predictions = _drawn(rows)
    rounds = replace(rounds, policies={POLICY: rounds.propensities})
    found = evaluate(rounds, POLICY, predictions=replace(predictions, policy=predictions.shown))
    mean = pytest.approx(rounds.rewards.mean(), abs=1e-12)
    values = _values(found)
    assert (values["ips"], values["snips"], values["dr"], found.logged.value) == (mean, mean, mean, mean)
    assert found.mean_weight == 1
    # round by round it is the same, so nothing can be told either way
    weighted = {estimate.estimator: estimate.difference for estimate in found.estimates}
    assert weighted["ips"] == weighted["snips"] == Interval(0.0, 0.0, 0.0)


@settings(max_examples=40, deadline=None)
@given(_logs, st.floats(-100, 100))
def test_the_self_normalised_estimate_stays_among_the_rewards_and_moves_with_them(
    rows: list[tuple[float, float, float, int, float, float]], shift: float
) -> None:
    rounds, _ = _drawn(rows)
    (snips,) = (one.value for one in evaluate(rounds, POLICY).estimates if one.estimator == "snips")
    low, high = rounds.rewards.min() - 1e-9, rounds.rewards.max() + 1e-9
    assert low <= snips.low <= snips.high <= high
    assert low <= snips.value <= high
    moved = evaluate(replace(rounds, rewards=rounds.rewards + shift), POLICY)
    (there,) = (one.value for one in moved.estimates if one.estimator == "snips")
    figures = [(there.value, snips.value), (there.low, snips.low), (there.high, snips.high)]
    for after, before in figures:
        assert after == pytest.approx(before + shift, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(_logs)
def test_the_order_of_rounds_and_the_names_of_clusters_mean_nothing_to_a_value(
    rows: list[tuple[float, float, float, int, float, float]],
) -> None:
    rounds, predictions = _drawn(rows)
    turned, turned_predictions = _drawn(rows[::-1])
    turned = replace(turned, clusters=-7 * turned.clusters)
    here, there = (
        evaluate(rounds, POLICY, predictions=predictions),
        evaluate(turned, POLICY, predictions=turned_predictions),
    )
    assert _values(here) == pytest.approx(_values(there), abs=1e-9)
    assert here.cluster_count == there.cluster_count
    assert here.effective_rounds == pytest.approx(there.effective_rounds)


@pytest.fixture(scope="module")
def simulated() -> list[PolicyEvaluation]:
    """Evaluations of as many logs, with a reward model that is right."""
    logs = [simulate(_ROUNDS, seed) for seed in range(_TIMES)]
    return [evaluate(log.rounds, POLICY, predictions=log.predictions()) for log in logs]


def _of(evaluations: list[PolicyEvaluation], estimator: str) -> np.ndarray:
    return np.array([_values(found)[estimator] for found in evaluations])


def _is_near(values: np.ndarray, truth: float) -> bool:
    """Within four standard errors of the mean: one seed in 16,000 is not, of an estimator that is right."""
    return abs(values.mean() - truth) < 4 * values.std() / math.sqrt(len(values))


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr"])
def test_estimates_are_right_on_average_and_their_intervals_hold(
    simulated: list[PolicyEvaluation], estimator: str
) -> None:
    assert _is_near(_of(simulated, estimator), TRUE_VALUE)
    intervals = [one.value for found in simulated for one in found.estimates if one.estimator == estimator]
    differences = [one.difference for found in simulated for one in found.estimates if one.estimator == estimator]
    held = np.mean([one.low <= TRUE_VALUE <= one.high for one in intervals])
    held_difference = np.mean([one.low <= TRUE_VALUE - TRUE_LOGGED_VALUE <= one.high for one in differences])
    # of 300 intervals that hold in 95% of cases, 270 to 297 do, but for one seed in 3,000
    assert 0.90 <= held <= 0.99
    assert 0.90 <= held_difference <= 0.99


def test_a_good_reward_model_takes_variance_away(simulated: list[PolicyEvaluation]) -> None:
    assert _of(simulated, "dr").std() < 0.9 * _of(simulated, "ips").std()
    widths: dict[str, list[float]] = {"ips": [], "snips": [], "dm": [], "dr": []}
    for found in simulated:
        for one in found.estimates:
            widths[one.estimator].append(one.value.high - one.value.low)
    assert np.mean(widths["dr"]) < 0.9 * np.mean(widths["ips"])


@pytest.mark.parametrize(
    ("bias", "propensity_error", "right"),
    [(0.2, 0.0, {"ips", "dr"}), (0.0, 0.5, {"dm", "dr"}), (0.2, 0.5, set())],
    ids=["the model is wrong", "the propensities are wrong", "both are wrong"],
)
def test_the_doubly_robust_estimate_is_right_when_either_part_is(
    bias: float, propensity_error: float, right: set[str]
) -> None:
    logs = [simulate(_ROUNDS, seed, propensity_error) for seed in range(100)]
    found = [evaluate(log.rounds, POLICY, predictions=log.predictions(bias)) for log in logs]
    assert {name for name in ("ips", "dm", "dr") if _is_near(_of(found, name), TRUE_VALUE)} == right


def test_rounds_of_one_cluster_say_less_than_as_many_alone() -> None:
    log = simulate(500, 3).rounds
    fourfold = LoggedRounds(
        np.tile(log.rewards, 4),
        np.tile(log.propensities, 4),
        np.arange(2_000),
        {POLICY: np.tile(log.policies[POLICY], 4)},
    )
    together = replace(fourfold, clusters=np.tile(log.clusters, 4))
    widths = []
    for rounds in (log, together, fourfold):
        value = evaluate(rounds, POLICY).estimates[0].value
        widths.append(value.high - value.low)
    # four copies of a request are one request; as four they would halve the interval
    assert widths[1] == pytest.approx(widths[0])
    assert widths[2] == pytest.approx(widths[0] / 2, rel=0.15)


def test_a_verdict_is_given_where_the_log_is_enough() -> None:
    log = simulate(4_000, 1)
    found = evaluate(log.rounds, POLICY, predictions=log.predictions())
    assert (found.verdict, found.decided_by, found.reasons) == (Verdict.BETTER, "dr", ())
    turned = replace(log.rounds, rewards=-log.rounds.rewards)
    assert evaluate(turned, POLICY).verdict == Verdict.WORSE
    own = replace(log.rounds, policies={POLICY: log.rounds.propensities})
    assert evaluate(own, POLICY).verdict == Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("rounds", "reason"),
    [
        # one round in 400 has more weight than all others
        (_rounds([1] * 400, [0.5] * 399 + [0.001], [0.5] * 400), "the log says as much as 3.2 rounds"),
        (_rounds([1] * 20 + [0] * 380, [0.5] * 400, [0.5] * 400), "as much as 20.0 rewarded rounds"),
        (_rounds([0] * 400, [0.5] * 400, [0.5] * 400), "as much as 0.0 rewarded rounds"),
        # half of what the policy shows is never shown
        (_rounds([1] * 400, [0.5] * 400, [0.25] * 400), "weights are 0.500 on average"),
    ],
    ids=["one weight", "few rewards", "no rewards", "no overlap"],
)
def test_a_log_that_is_not_enough_says_why(rounds: LoggedRounds, reason: str) -> None:
    found = evaluate(rounds, POLICY)
    assert found.verdict == Verdict.NOT_ENOUGH
    assert any(reason in said for said in found.reasons)


def test_clipping_much_leaves_nothing_to_conclude() -> None:
    found = evaluate(simulate(4_000, 1).rounds, POLICY, clip=1)
    assert found.verdict == Verdict.NOT_ENOUGH
    assert ["clipping took" in reason for reason in found.reasons] == [True]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"propensities": [0.5, 0.0]}, "row 2: propensity is 0; write the probability with which the logged policy"),
        ({"propensities": [0.5, math.nan]}, "row 2: propensity is empty"),
        ({"propensities": [1.5, 0.5]}, "row 1: propensity is 1.5"),
        ({"rewards": [1.0, math.inf]}, "row 2: reward is inf; write a finite number"),
        ({"probabilities": [0.5, -0.1]}, "row 2: new_ranker is -0.1; write the probability with which this policy"),
        ({"propensities": [0.5]}, "propensity has 1 values and reward 2"),
        ({"rewards": [], "propensities": [], "probabilities": []}, "there are no rounds"),
    ],
)
def test_what_is_no_reward_or_probability_is_refused_by_its_row(changes: dict[str, list[float]], said: str) -> None:
    columns = {"rewards": [1.0, 0.0], "propensities": [0.5, 0.5], "probabilities": [0.5, 0.5], **changes}
    with pytest.raises(OffPolicyError, match=said):
        _rounds(**columns)


def test_a_policy_of_which_the_log_shows_nothing_is_refused() -> None:
    with pytest.raises(OffPolicyError, match="new_ranker is 0 in every row"):
        evaluate(_rounds([1, 0], [0.5, 0.5], [0, 0]), POLICY)
    with pytest.raises(OffPolicyError, match="clip is 0; the largest weight"):
        evaluate(_BY_HAND, POLICY, clip=0)
