"""A simulated bandit with known values: two kinds of requests, four contents, rewards 0 or 1."""

from dataclasses import dataclass

import numpy as np

from training.off_policy import LoggedRounds, RewardPredictions, Values

POLICY = "new_ranker"

# rows: kinds of request; columns: contents
_KINDS = np.array([0.7, 0.3])
_REWARDS = np.array([[0.05, 0.2, 0.1, 0.4], [0.5, 0.1, 0.3, 0.2]])
_LOGGED = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
_EVALUATED = np.array([[0.1, 0.2, 0.2, 0.5], [0.6, 0.1, 0.2, 0.1]])

TRUE_VALUE = float((_KINDS[:, None] * _EVALUATED * _REWARDS).sum())
TRUE_LOGGED_VALUE = float((_KINDS[:, None] * _LOGGED * _REWARDS).sum())


@dataclass(frozen=True)
class Simulation:
    """A drawn log.

    Attributes:
        kinds, contents: of each round.  # (N,)
    """

    rounds: LoggedRounds
    kinds: np.ndarray
    contents: np.ndarray

    def predictions(self, bias: float = 0.0) -> RewardPredictions:
        """Of a model that is right where `bias` is 0, and else wrong by it in a way that differs by content."""
        model = _REWARDS + bias * np.array([1.0, -2.0, 3.0, 0.5])
        expected: Values = (_EVALUATED * model).sum(axis=1)
        return RewardPredictions(model[self.kinds, self.contents], expected[self.kinds])


def simulate(count: int, seed: int, propensity_error: float = 0.0) -> Simulation:
    """`count` rounds of the logged policy; with `propensity_error` their propensities are noted wrongly."""
    generator = np.random.default_rng(seed)
    kinds = generator.choice(2, count, p=_KINDS)
    contents = (generator.random(count)[:, None] > _LOGGED.cumsum(axis=1)[kinds]).sum(axis=1)
    rewards = (generator.random(count) < _REWARDS[kinds, contents]).astype(np.float64)
    # mixed with chance: still probabilities, but not those that chose
    noted = (1 - propensity_error) * _LOGGED + propensity_error / 4
    return Simulation(
        LoggedRounds(rewards, noted[kinds, contents], np.arange(count), {POLICY: _EVALUATED[kinds, contents]}),
        kinds,
        contents,
    )
