"""`marquee evaluate-policy`: what another ranker would have earned, from anyone's file of logged impressions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from training.off_policy import Interval, PolicyEvaluation

_console = Console()
_POLICY = "policy_probability"
_TITLES = {
    "ips": "inverse propensity",
    "snips": "self-normalised",
    "dm": "direct method, its model taken as right",
    "dr": "doubly robust",
}


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("evaluate-policy")(evaluate_policy)


def evaluate_policy(
    impressions: Annotated[
        Path,
        typer.Option(
            help="Parquet with request_id, position, content_id, propensity, reward, and a column of probabilities "
            "a policy; surface, subscriber_id and context_* where there are."
        ),
    ],
    policy: Annotated[
        list[str] | None, typer.Option(help=f"Column of a policy's probabilities; {_POLICY} when left out.")
    ] = None,
    choices: Annotated[
        Path | None,
        typer.Option(
            help="Parquet with request_id, position, content_id and the policies' columns: all that they might show "
            "at each place. With it a reward model joins in."
        ),
    ] = None,
    clip: Annotated[
        float | None, typer.Option(help="The largest weight that counts; all of each when left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 7,
) -> None:
    """Estimate what a ranker would have earned on impressions that another ranker chose, by their propensities."""
    from training import off_policy
    from training.impression_files import read_impressions
    from training.reward_model import predict_rewards

    names = policy or [_POLICY]
    log = read_impressions(impressions, names, choices)
    predictions = {} if log.choices is None else predict_rewards(log, seed)
    for name in names:
        found = off_policy.evaluate(log.rounds, name, predictions=predictions.get(name), clip=clip, seed=seed)
        _console.print(_table(found))
        _console.print(_conclusion(found))


def _table(found: "PolicyEvaluation") -> Table:
    table = Table(
        "estimate", "value", "95% interval", "difference", "95% interval",
        title=f"{found.policy}: mean reward of a shown content, {found.round_count:,} of them in "
        f"{found.cluster_count:,} clusters",
        caption=f"effective sample size {found.effective_rounds:,.1f}, of rewards {found.effective_rewards:,.1f}; "
        f"weight {found.mean_weight:.3f} on average, {found.largest_weight:,.1f} at most, "
        f"{found.clipped_share:.1%} clipped away",
    )  # fmt: skip
    table.add_row("logged policy", *_figures(found.logged), "", "")
    for estimate in found.estimates:
        table.add_row(_TITLES[estimate.estimator], *_figures(estimate.value), *_figures(estimate.difference, sign="+"))
    return table


def _figures(interval: "Interval", sign: str = "") -> tuple[str, str]:
    return f"{interval.value:{sign}.5f}", f"{interval.low:{sign}.5f} to {interval.high:{sign}.5f}"


def _conclusion(found: "PolicyEvaluation") -> str:
    said = f"{found.policy}: {found.verdict} (by the {_TITLES[found.decided_by]} estimate)"
    return "\n".join([said, *(f"- {reason}" for reason in found.reasons)])
