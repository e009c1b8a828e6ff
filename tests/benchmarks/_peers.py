"""The recommenders off the shelf, tuned and fitted in an environment of their own.

Run as a program by that environment's Python, this file reads the columns of a split (.npz) and writes lists and times.
Tuning sees the training side alone: every setting of a grid is fitted on the inner split, the best NDCG@10 there is
fitted again on all of the training side.

Legend: M interactions, E users to recommend to, K places, N items (numbered from 1).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("implicit==0.7.3", "rectools[torch]==0.19.0", "rectools-lightfm==1.17.3", "numpy<2")

_K = 10
_DAY = 86_400
_THREADS = 2
_Setting = dict[str, Any]
# the settings that are tried: each peer's budget
GRIDS: dict[str, list[_Setting]] = {
    "popularity": [{}],
    "popularity of days": [{"days": days} for days in (1, 3, 7, 14, 30, 60, 90, 180)],
    "item-kNN": [{"kind": kind, "neighbours": count} for kind in ("cosine", "bm25") for count in (20, 50, 100, 200)],
    "iALS": [
        {"factors": factors, "regularization": regularization, "alpha": alpha}
        for factors in (32, 64, 128)
        for regularization in (1.0, 10.0, 30.0, 100.0)
        for alpha in (1.0, 5.0, 20.0)
    ],
    "EASE": [{"regularization": value} for value in (20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 4000.0)],
    "BPR": [
        {"factors": factors, "learning_rate": rate, "regularization": regularization}
        for factors in (64, 128)
        for rate in (0.02, 0.05, 0.1)
        for regularization in (0.001, 0.01)
    ],
    "SASRec": [{"factors": 64, "epochs": 20}, {"factors": 64, "epochs": 60}],
}
# of these chance decides the start, so that each seed is a fit of its own
SEEDED = frozenset({"iALS", "BPR", "SASRec"})


@dataclass(frozen=True)
class PeerLists:
    """What one peer made of one split.

    Attributes:
        items: (seeds, E, K), 0 where there were fewer.
        setting: the best of its grid.
        tuning_seconds: of the whole grid; fit_seconds: of the last fit alone, the mean over seeds.
    """

    name: str
    items: np.ndarray
    setting: _Setting
    tuning_seconds: float
    fit_seconds: float


def recommend(python: Path, columns: dict[str, np.ndarray], names: list[str], seeds: list[int]) -> Iterator[PeerLists]:
    """One peer after another.

    Args:
        columns: for `outer` and `inner` each `{side}_users`, `{side}_items`, `{side}_seconds` (M,) in the order of
            time, `{side}_targets` (E,) users, and `{side}_relevant` with `{side}_bounds` (E + 1,), what is to be found.
    """
    with tempfile.TemporaryDirectory(prefix="marquee-peers-") as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, **columns)
        for name in names:
            quiet = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
            own_seeds = json.dumps(seeds if name in SEEDED else seeds[:1])
            ended = subprocess.run(
                [python, __file__, str(given), str(found), name, own_seeds],
                check=False, env=quiet, capture_output=True, text=True,
            )  # fmt: skip
            if ended.returncode:
                raise RuntimeError(f"{name} failed:\n{ended.stderr}")
            with np.load(found) as result:
                said = json.loads(str(result["said"]))
                yield PeerLists(name, result["items"], **said)


@dataclass(frozen=True)
class _Side:
    users: np.ndarray
    items: np.ndarray
    seconds: np.ndarray
    targets: np.ndarray
    relevant: list[np.ndarray]

    def matrix(self) -> Any:
        from scipy import sparse

        shape = (int(max(self.users.max(), self.targets.max())) + 1, int(self.items.max()) + 1)
        ones = np.ones(len(self.users), dtype=np.float32)
        return sparse.csr_matrix((ones, (self.users, self.items)), shape)

    def ndcg(self, items: np.ndarray) -> float:
        discounts = 1 / np.log2(np.arange(2, _K + 2))
        values = [
            (np.isin(shown, wanted) * discounts).sum() / discounts[: len(wanted)].sum()
            for shown, wanted in zip(items, self.relevant, strict=True)
        ]
        return float(np.mean(values))


def _side(columns: Any, name: str) -> _Side:
    users, items, seconds, targets = (columns[f"{name}_{one}"] for one in ("users", "items", "seconds", "targets"))
    relevant = np.split(columns[f"{name}_relevant"], columns[f"{name}_bounds"][1:-1])
    return _Side(users, items, seconds, targets, relevant)


# fitted on a side with a setting and a seed, a peer gives the lists of its targets
_Answer = Callable[[], np.ndarray]


def _of_scores(side: _Side, scores_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The best by dense scores of everything, without what each has.  # (E, K)"""
    seen = side.matrix()
    lists = []
    for rows in np.array_split(side.targets, max(1, len(side.targets) // 512)):
        scores = np.array(scores_of(rows), dtype=np.float32)
        users, items = seen[rows].nonzero()
        scores[users, items] = -np.inf
        scores[:, 0] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :_K]
        lists.append(np.where(np.isfinite(np.take_along_axis(scores, best, axis=1)), best, 0))
    return np.concatenate(lists)


def _popularity(side: _Side, setting: _Setting, _seed: int) -> _Answer:
    size = int(side.items.max()) + 1
    ever = np.bincount(side.items, minlength=size)
    recent = side.seconds > side.seconds.max() - setting.get("days", 10**5) * _DAY
    scores = np.bincount(side.items[recent], minlength=size) + ever / (ever.sum() + 1)
    scores[ever == 0] = -np.inf
    return lambda: _of_scores(side, lambda rows: np.broadcast_to(scores, (len(rows), size)))


def _item_knn(side: _Side, setting: _Setting, _seed: int) -> _Answer:
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

    seen = side.matrix()
    kinds = {"cosine": CosineRecommender, "bm25": BM25Recommender}
    model = kinds[setting["kind"]](K=setting["neighbours"], num_threads=_THREADS)
    model.fit(seen, show_progress=False)
    similarity = model.similarity.tocsr()
    return lambda: _of_scores(side, lambda rows: (seen[rows] @ similarity).toarray())


def _factors(side: _Side, setting: _Setting, seed: int, kind: str) -> _Answer:
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    rounds = {"iALS": (AlternatingLeastSquares, 15), "BPR": (BayesianPersonalizedRanking, 150)}
    made, iterations = rounds[kind]
    model = made(**setting, iterations=iterations, num_threads=_THREADS, random_state=seed)
    model.fit(side.matrix(), show_progress=False)
    return lambda: _of_scores(side, lambda rows: model.user_factors[rows] @ model.item_factors.T)


def _rectools(side: _Side) -> Any:
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset

    # a microsecond each keeps the order of rows of one second
    moments = pd.to_datetime(side.seconds, unit="s") + pd.to_timedelta(np.arange(len(side.seconds)), unit="us")
    frame = pd.DataFrame({Columns.User: side.users, Columns.Item: side.items, Columns.Datetime: moments})
    return Dataset.construct(frame.assign(**{Columns.Weight: 1.0}))


def _of_rectools(side: _Side, model: Any, dataset: Any) -> np.ndarray:
    frame = model.recommend(users=side.targets, dataset=dataset, k=_K, filter_viewed=True)
    lists = np.zeros((len(side.targets), _K), dtype=np.int64)
    order = np.argsort(side.targets)
    rows = order[np.searchsorted(side.targets[order], frame["user_id"])]
    lists[rows, frame["rank"] - 1] = frame["item_id"]
    return lists


def _ease(side: _Side, setting: _Setting, _seed: int) -> _Answer:
    from rectools.models import EASEModel

    dataset = _rectools(side)
    model = EASEModel(**setting, num_threads=_THREADS, recommend_use_gpu_ranking=False).fit(dataset)
    return lambda: _of_rectools(side, model, dataset)


def _sasrec(side: _Side, setting: _Setting, seed: int) -> _Answer:
    import torch
    from pytorch_lightning import Trainer, seed_everything
    from rectools.models import SASRecModel

    seed_everything(seed)
    torch.set_num_threads(_THREADS)
    epochs = setting["epochs"]

    def trainer() -> Any:
        return Trainer(
            max_epochs=epochs, min_epochs=epochs, deterministic=True, accelerator="cpu", logger=False,
            enable_model_summary=False, enable_progress_bar=False, enable_checkpointing=False,
        )  # fmt: skip

    dataset = _rectools(side)
    model = SASRecModel(
        n_factors=setting["factors"], n_blocks=2, n_heads=2, session_max_len=100, lr=1e-3, dropout_rate=0.2,
        loss="softmax", n_negatives=64, batch_size=128, get_trainer_func=trainer, recommend_torch_device="cpu",
    ).fit(dataset)  # fmt: skip
    return lambda: _of_rectools(side, model, dataset)


def _fitted(name: str, side: _Side, setting: _Setting, seed: int) -> _Answer:
    if name in {"iALS", "BPR"}:
        return _factors(side, setting, seed, name)
    fit = {"item-kNN": _item_knn, "EASE": _ease, "SASRec": _sasrec}.get(name, _popularity)
    return fit(side, setting, seed)


def _recommend_as_peer(given: Path, found: Path, name: str, seeds: list[int]) -> None:
    with np.load(given) as columns:
        outer, inner = _side(columns, "outer"), _side(columns, "inner")
    grid = GRIDS[name]
    started = time.perf_counter()
    qualities = [inner.ndcg(_fitted(name, inner, setting, seeds[0])()) for setting in grid] if len(grid) > 1 else [0.0]
    tuning_seconds = time.perf_counter() - started
    setting = grid[int(np.argmax(qualities))]
    lists, seconds = [], []
    for seed in seeds:
        started = time.perf_counter()
        answer = _fitted(name, outer, setting, seed)
        seconds.append(time.perf_counter() - started)
        lists.append(answer())
    said = {"setting": setting, "tuning_seconds": tuning_seconds, "fit_seconds": float(np.mean(seconds))}
    np.savez(found, items=np.stack(lists), said=json.dumps(said))


if __name__ == "__main__":
    _recommend_as_peer(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))
