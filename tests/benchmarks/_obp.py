"""obp, the peer of off-policy evaluation: its estimators and its reward model, in an environment of its own.

https://github.com/st-tech/zr-obp. The environment lies under the var folder and has the project's packages below its
own, so that only what the project lacks is installed. Run as a program by that environment's Python, this file reads
columns (.npz) and writes estimates.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PACKAGES = ("obp==0.4.1", "matplotlib==3.11.2", "seaborn==0.13.2")


@dataclass(frozen=True)
class PeerEstimates:
    """What obp says.

    Attributes:
        values: by estimator: ips, snips, dm, dr.
        shown, policy: what its reward model expects of what was shown, and of the evaluated policy.  # (N,)
    """

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    shown: np.ndarray
    policy: np.ndarray


def estimate(python: Path, columns: dict[str, np.ndarray]) -> PeerEstimates:
    """obp's estimates.

    Args:
        columns: action (from 0), position (from 0), reward and propensity, a value a round; action_dist, of (rounds,
            actions, positions); context, of (rounds, features).
    """
    with tempfile.TemporaryDirectory(prefix="marquee-obp-") as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, **columns)
        subprocess.run([python, __file__, str(given), str(found)], check=True)
        with np.load(found) as result:
            said = json.loads(str(result["said"]))
            return PeerEstimates(said["values"], said["intervals"], result["shown"], result["policy"])


def _estimate_as_peer(given: Path, found: Path) -> None:
    from obp.ope import (
        DirectMethod,
        DoublyRobust,
        InverseProbabilityWeighting,
        OffPolicyEvaluation,
        RegressionModel,
        SelfNormalizedInverseProbabilityWeighting,
    )
    from sklearn.linear_model import LogisticRegression

    with np.load(given) as columns:
        action, position, reward = columns["action"], columns["position"], columns["reward"]
        propensity, chances, context = columns["propensity"], columns["action_dist"], columns["context"]
    rounds = np.arange(len(action))
    model = RegressionModel(
        n_actions=chances.shape[1], len_list=chances.shape[2], base_model=LogisticRegression(max_iter=1_000)
    )
    expected = model.fit_predict(
        context=context, action=action, reward=reward, pscore=propensity, position=position, n_folds=3, random_state=7
    )
    feedback = {
        "n_rounds": len(action), "n_actions": chances.shape[1], "action": action, "position": position,
        "reward": reward, "pscore": propensity, "context": context,
    }  # fmt: skip
    names = {"ipw": "ips", "snipw": "snips", "dm": "dm", "dr": "dr"}
    estimators = [
        InverseProbabilityWeighting(), SelfNormalizedInverseProbabilityWeighting(), DirectMethod(), DoublyRobust()
    ]  # fmt: skip
    evaluation = OffPolicyEvaluation(bandit_feedback=feedback, ope_estimators=estimators)
    values = evaluation.estimate_policy_values(chances, expected)
    intervals = evaluation.estimate_intervals(chances, expected, n_bootstrap_samples=1_000, random_state=7)
    said = {
        "values": {ours: float(values[theirs]) for theirs, ours in names.items()},
        "intervals": {
            ours: [float(bound) for key, bound in intervals[theirs].items() if "CI" in key]
            for theirs, ours in names.items()
        },
    }
    np.savez(
        found,
        said=json.dumps(said),
        shown=expected[rounds, action, position],
        policy=(chances[rounds, :, position] * expected[rounds, :, position]).sum(axis=1),
    )


if __name__ == "__main__":
    _estimate_as_peer(Path(sys.argv[1]), Path(sys.argv[2]))
