"""`marquee evaluate`: how good the models are on anyone's file of interactions."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from marquee.cli.training_bar import training_bar
from marquee.settings import load_settings

if TYPE_CHECKING:
    from training.evaluation import MetricRow
    from training.file_evaluation import FileEvaluation
    from training.interaction_files import LoggedInteractions

# a file or a pipe has no width of its own: there its tables are whole
_console = Console() if sys.stdout.isatty() else Console(width=100)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("evaluate")(evaluate)


def evaluate(
    interactions: Annotated[Path, typer.Option(help="Parquet with user_id, item_id, timestamp (seconds since 1970).")],
    protocol: Annotated[
        Literal["temporal", "loo"], typer.Option(help="Cut at 80% of the time, or leave out each user's last.")
    ] = "temporal",
    content: Annotated[Path | None, typer.Option(help="Parquet with item_id and tags, content_type.")] = None,
    users: Annotated[Path | None, typer.Option(help="Parquet with user_id and properties to show figures by.")] = None,
    topk_out: Annotated[Path | None, typer.Option(help="Parquet to write: user_id, item_id, rank, score.")] = None,
    model: Annotated[
        Literal[
            "marquee",
            "marquee_composed",
            "two_tower",
            "ease",
            "item_knn",
            "content_based",
            "popularity_7d",
            "popularity",
        ],
        typer.Option(help="Whose lists --topk-out has."),
    ] = "marquee",
    catalogue: Annotated[
        Literal["consumed", "all"],
        typer.Option(help="What lists are made of: contents with interactions to learn from, or all of the files."),
    ] = "consumed",
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 7,
) -> None:
    """Fit the models on one side of a file of interactions and measure them on the other, over the whole catalogue.

    `torchrun --nproc-per-node 2 .venv/bin/marquee evaluate ...` shares the training out to processes.
    """
    import torch

    from feature_repo.list_rules import load_list_rules
    from training import file_evaluation, processes
    from training.interaction_files import read_interactions
    from training.ranker_config import read_ranker_config
    from training.tower_config import read_config

    settings = load_settings()
    config, ranker_config = read_config(settings.two_tower_file), read_ranker_config(settings.ranker_file)
    weights = load_list_rules(settings.list_rules_file).list_weights
    torch.set_num_threads(settings.torch_threads)
    processes.join_processes()
    with training_bar(_console, processes.is_first_process()) as show:
        log = read_interactions(interactions, content, users, config.profile_columns)
        found = file_evaluation.evaluate(log, protocol, seed, show, config, catalogue, ranker_config, weights)
    if processes.is_first_process():
        _show(found, log, model, topk_out)
    processes.leave_processes()


def _show(found: "FileEvaluation", log: "LoggedInteractions", model: str, topk_out: Path | None) -> None:
    from training import file_evaluation

    _console.print(_table(found))
    _console.print(_variety_table(found))
    _console.print(_chances_table(found))
    _console.print(_group_table(found, model))
    if topk_out is not None:
        lists = file_evaluation.topk(found, log, model)
        lists.to_parquet(topk_out, index=False)
        _console.print(f"{len(lists):,} rows of {model} are in {topk_out}")


def _table(found: "FileEvaluation") -> Table:
    columns = ("model", "NDCG@10", "95% interval", "Recall@10", "MRR@10", "NDCG@50", "Recall@50", "MRR@50")
    table = Table(
        *columns,
        title=f"{found.split.protocol}: {len(found.split.users):,} users, {len(found.split.train.items):,} "
        f"interactions to learn from; {found.cold_share:.1%} of what was held back is on contents nobody had consumed",
    )
    for name, figures in _by_model(found):
        row = figures["ndcg", 10]
        shown = (("recall", 10), ("mrr", 10), ("ndcg", 50), ("recall", 50), ("mrr", 50))
        table.add_row(
            name, f"{row.value:.4f}", _interval(row.low, row.high), *(f"{figures[key].value:.4f}" for key in shown)
        )
    return table


def _variety_table(found: "FileEvaluation") -> Table:
    table = Table("model", "coverage@10", "gini@10", "novelty@10", "diversity@10", "miscalibration@10")
    for name, figures in _by_model(found):
        shown = ("coverage", "gini", "novelty", "diversity", "miscalibration")
        table.add_row(name, *(f"{figures[metric, 10].value:.4f}" for metric in shown))
    return table


def _chances_table(found: "FileEvaluation") -> Table:
    """How true the system's probabilities are, by head."""
    columns = ("probability to", "calibration error", "Brier", "Brier of the base rate", "AUC")
    table = Table(*columns, title="marquee's probabilities, of all candidates")
    figures = {row.metric: row.value for row in found.rows if row.model == "marquee"}
    for head in ("start", "finish", "return"):
        if f"{head}_ece" in figures:
            shown = ("ece", "brier", "base_brier", "auc")
            table.add_row(head, *(f"{figures[f'{head}_{metric}']:.5f}" for metric in shown))
    return table


def _by_model(found: "FileEvaluation") -> list[tuple[str, dict[tuple[str, int], "MetricRow"]]]:
    """Figures by metric and cutoff of each model, the best first."""
    by_model: dict[str, dict[tuple[str, int], MetricRow]] = {}
    for row in found.rows:
        by_model.setdefault(row.model, {})[row.metric, row.k] = row
    return sorted(by_model.items(), key=lambda pair: -pair[1]["ndcg", 10].value)


def _group_table(found: "FileEvaluation", model: str) -> Table:
    table = Table("property", "group", "users", "NDCG@10", "95% interval", title=f"{model} by group of users")
    for row in found.groups[found.groups["model"] == model].to_dict("records"):
        interval = _interval(row["low"], row["high"])
        table.add_row(row["property"], str(row["group"]), f"{row['user_count']:,}", f"{row['ndcg']:.4f}", interval)
    return table


def _interval(low: float | None, high: float | None) -> str:
    """As narrow as it can be read; nothing where there is none."""
    return "" if low is None or high is None or math.isnan(low) else f"{low:.4f}–{high:.4f}"
