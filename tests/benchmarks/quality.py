"""How good the recommendations are on the default data, beside popularity, item-kNN and iALS on the same splits.

The pipeline's own steps run in this process: ingest, dbt, Feast, training. The lists of the peers, made by the library
`implicit` from the training side that the artefact keeps, are scored by the same code. The limit: on leave-last-out,
NDCG@10 above item-kNN's.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy import sparse

from feature_repo import materialization, store
from ingestion import sources
from marquee import clock, database, dbt_runner, embedded_postgres
from marquee.settings import Settings
from training import evaluation, pipeline, registry
from training.evaluation import MetricRow

_RUN = "benchmark"
_LIST_LENGTH = 10


def main() -> bool:
    """Train, score, print; True when the re-ranked lists beat item-kNN on leave-last-out."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="marquee-bench-") as folder:
        settings = Settings(var_dir=Path(folder) / "var", database_url=None)
        try:
            artefact = _train(settings, console)
        finally:
            embedded_postgres.stop(settings)
        ours = [MetricRow(**row) for row in json.loads((artefact / "evaluation" / "metrics.json").read_text())]
        rows = ours + _peers(artefact / "evaluation")
    console.print(_table(rows))
    best = {row.model: row.value for row in rows if (row.protocol, row.metric) == ("loo", "ndcg")}
    console.print(f"leave-last-out NDCG@10, marquee to item_knn: {best['marquee'] / best['item_knn']:.2f}")
    return best["marquee"] > best["item_knn"]


def _train(settings: Settings, console: Console) -> Path:
    now = clock.utc_now()
    database.prepare(settings)
    with console.status("ingest"):
        sources.prepare_extracts(settings, now)
        for source in sources.SOURCES:
            sources.ingest_source(source, _RUN, now, settings)
    with console.status("dbt"):
        dbt_runner.build(settings, now)
    with console.status("features"):
        store.apply_definitions(settings)
        materialization.materialize(_RUN, now, settings)
    with console.status("training"):
        pipeline.build_training_set(_RUN, now, settings)
        pipeline.train_models(_RUN, settings)
        return registry.artefact_dir(pipeline.evaluate_version(_RUN, now, settings), settings)


def _peers(folder: Path) -> list[MetricRow]:
    seen, relevant = (pd.read_parquet(folder / f"{name}.parquet") for name in ("seen", "relevant"))
    lists = [_implicit_lists(group, str(protocol), relevant) for protocol, group in seen.groupby("protocol")]
    # the catalogue of the metrics.json beside it: what anybody consumed on either side
    size = len(set(seen["content_id"]) | set(relevant["content_id"]))
    return evaluation.measure(pd.concat(lists), relevant, size)


def _implicit_lists(seen: pd.DataFrame, protocol: str, relevant: pd.DataFrame) -> pd.DataFrame:
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

    users, user_ids = pd.factorize(seen["subscriber_id"], sort=True)
    items, item_ids = pd.factorize(seen["content_id"], sort=True)
    matrix = sparse.csr_matrix((np.ones(len(seen), dtype=np.float32), (users, items)))
    matrix.data[:] = 1.0
    wanted = np.flatnonzero(user_ids.isin(relevant.loc[relevant["protocol"] == protocol, "subscriber_id"]))
    models = {
        "implicit: item-kNN cosine": CosineRecommender(K=100),
        "implicit: item-kNN BM25": BM25Recommender(K=100),
        "implicit: iALS": AlternatingLeastSquares(
            factors=64, regularization=0.05, alpha=2, iterations=20, random_state=7
        ),
    }
    frames = []
    for name, model in models.items():
        model.fit(matrix, show_progress=False)
        found, scores = model.recommend(wanted, matrix[wanted], N=_LIST_LENGTH)
        frames.append(
            pd.DataFrame(
                {
                    "protocol": protocol,
                    "model": name,
                    "subscriber_id": user_ids[wanted].to_numpy().repeat(_LIST_LENGTH),
                    "content_id": item_ids.to_numpy()[found.ravel()],
                    "rank": np.tile(np.arange(1, _LIST_LENGTH + 1), len(wanted)),
                    "score": scores.ravel(),
                }
            )
        )
    return pd.concat(frames)


def _table(rows: list[MetricRow]) -> Table:
    columns = ("split", "model", "NDCG@10", "95% interval", "Recall@10", "MRR@10", "coverage@10", "subscribers")
    table = Table(*columns, title="MovieLens-100k (subscribers with consent)")
    by_model: dict[tuple[str, str], dict[str, MetricRow]] = {}
    for row in rows:
        by_model.setdefault((row.protocol, row.model), {})[row.metric] = row
    for (protocol, model), found in sorted(by_model.items(), key=lambda pair: (pair[0][0], -pair[1]["ndcg"].value)):
        ndcg = found["ndcg"]
        others = (f"{found[name].value:.4f}" for name in ("recall", "mrr", "coverage"))
        table.add_row(
            protocol, model, f"{ndcg.value:.4f}", f"{ndcg.low:.4f} to {ndcg.high:.4f}", *others, str(ndcg.user_count)
        )
    return table


if __name__ == "__main__":
    # implicit brings its own threads: two pools of BLAS beside them only get in each other's way
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(0 if main() else 1)
