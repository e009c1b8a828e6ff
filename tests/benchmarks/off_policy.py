"""Off-policy estimates beside those of obp on the Open Bandit sample, and beside the truth of a simulated bandit.

Each policy of the sample is evaluated from the other's log, and the mean of its own log stands beside it. A log has 38
to 69 clicks: that shows that columns go through and estimates are obp's, and says nothing of which policy or which
estimator is better. The limits: estimates equal obp's on the same columns and the same reward model, and of the
simulated intervals as many hold the truth as should.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from marquee.settings import load_settings
from tests.benchmarks import _environments, _obp, _open_bandit
from tests.benchmarks._open_bandit import BanditLog
from tests.training.bandit import POLICY, TRUE_VALUE, simulate
from training import off_policy
from training.impression_files import LoggedImpressions, read_impressions
from training.off_policy import Interval, PolicyEvaluation, RewardPredictions
from training.reward_model import predict_rewards

LIMIT_DIFFERENCE = 1e-9
LIMIT_HELD = 0.92
_SEED = 7
_LOGS = 500
_SIZES = (500, 2_000)


def main() -> bool:
    """Evaluate, compare, print; True when both limits were kept."""
    console = Console()
    settings = load_settings()
    with console.status("the Open Bandit sample and obp"):
        wheel = _open_bandit.fetch(settings)
        python = _environments.install(settings.var_dir, "obp", _obp.PACKAGES)
    table = Table(
        "campaign", "policy, from the log of", "estimate", "value", "95% interval", "obp's", "obp's interval",
        title="Open Bandit sample: clicks of a shown content (plumbing, no conclusions)",
    )  # fmt: skip
    farthest = 0.0
    for campaign in _open_bandit.CAMPAIGNS:
        logs = _open_bandit.read(wheel, campaign)
        for policy, other in (("bts", "random"), ("random", "bts")):
            with console.status(f"{campaign}: {policy} from {other}"):
                found, peer, difference = _compare(python, logs[other], logs[policy])
            farthest = max(farthest, difference)
            _add_rows(table, (campaign, f"{policy}, {other}"), found, peer, _own_mean(logs[policy]))
    console.print(table)
    console.print(f"largest relative difference from obp on its reward model: {farthest:.1e}")
    with console.status("simulated logs"):
        held = _held_shares()
    simulated = Table(
        "rounds", *held.columns, title=f"simulated bandit: share of {_LOGS} intervals that hold the truth"
    )
    for size, row in held.iterrows():
        simulated.add_row(f"{size:,}", *(f"{share:.3f}" for share in row))
    console.print(simulated)
    return farthest <= LIMIT_DIFFERENCE and float(held.min().min()) >= LIMIT_HELD


def _compare(python: Path, log: BanditLog, evaluated: BanditLog) -> tuple[PolicyEvaluation, _obp.PeerEstimates, float]:
    """Ours, obp's, and the largest relative difference where ours has obp's reward model."""
    chances = evaluated.chances.rename(columns={"probability": POLICY})
    impressions = log.impressions.merge(chances, on=["position", "content_id"], how="left").fillna({POLICY: 0.0})
    with tempfile.TemporaryDirectory(prefix="marquee-bench-") as folder:
        files = [Path(folder) / name for name in ("impressions.parquet", "choices.parquet")]
        impressions.to_parquet(files[0], index=False)
        impressions[["request_id", "position"]].merge(chances, on="position").to_parquet(files[1], index=False)
        read = read_impressions(files[0], [POLICY], files[1])
    found = off_policy.evaluate(read.rounds, POLICY, predictions=predict_rewards(read, _SEED)[POLICY], seed=_SEED)
    peer = _obp.estimate(python, _as_obp(read, chances))
    same_model = off_policy.evaluate(
        read.rounds, POLICY, predictions=RewardPredictions(peer.shown, peer.policy), seed=_SEED
    )
    values = {one.estimator: one.value.value for one in same_model.estimates}
    return found, peer, max(abs(values[name] / value - 1) for name, value in peer.values.items())


def _as_obp(log: LoggedImpressions, chances: pd.DataFrame) -> dict[str, np.ndarray]:
    positions = np.sort(log.shown["position"].unique())
    contents = int(max(chances["content_id"].max(), log.shown["content_id"].max())) + 1
    of_one = np.zeros((contents, len(positions)))
    of_one[chances["content_id"], np.searchsorted(positions, chances["position"])] = chances[POLICY]
    context = pd.get_dummies(log.shown.filter(like="context_"), drop_first=True)
    return {
        "action": log.shown["content_id"].to_numpy(),
        "position": np.searchsorted(positions, log.shown["position"]),
        "reward": log.rounds.rewards,
        "propensity": log.rounds.propensities,
        "action_dist": np.broadcast_to(of_one, (len(log.shown), *of_one.shape)).copy(),
        "context": context.to_numpy(dtype=np.float64),
    }


def _own_mean(log: BanditLog) -> Interval:
    rows = log.impressions
    rounds = off_policy.LoggedRounds(
        rows["reward"].to_numpy(np.float64),
        rows["propensity"].to_numpy(),
        np.arange(len(rows)),
        {POLICY: rows["propensity"].to_numpy()},
    )
    return off_policy.evaluate(rounds, POLICY, seed=_SEED).logged


def _add_rows(
    table: Table, names: tuple[str, str], found: PolicyEvaluation, peer: _obp.PeerEstimates, own: Interval
) -> None:
    table.add_section()
    table.add_row(*names, "its own log", f"{own.value:.5f}", f"{own.low:.5f} to {own.high:.5f}")
    for one in found.estimates:
        low, high = peer.intervals[one.estimator]
        table.add_row(
            "", "", one.estimator, f"{one.value.value:.5f}", f"{one.value.low:.5f} to {one.value.high:.5f}",
            f"{peer.values[one.estimator]:.5f}", f"{low:.5f} to {high:.5f}",
        )  # fmt: skip
    table.add_row(
        "", "", "", "", f"effective {found.effective_rounds:,.1f} rounds, {found.effective_rewards:.1f} clicks",
        "", found.verdict,
    )  # fmt: skip


def _held_shares() -> pd.DataFrame:
    """By number of rounds, the share of logs whose interval holds the truth, a column an estimator."""
    rows = []
    for size in _SIZES:
        for seed in range(_LOGS):
            log = simulate(size, 10_000 + seed)
            found = off_policy.evaluate(log.rounds, POLICY, predictions=log.predictions(0.05), seed=_SEED)
            rows += [
                (size, one.estimator, one.value.low <= TRUE_VALUE <= one.value.high)
                for one in found.estimates
                if one.estimator != "dm"
            ]
    frame = pd.DataFrame(rows, columns=["rounds", "estimator", "held"])
    return frame.pivot_table(index="rounds", columns="estimator", values="held")


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
