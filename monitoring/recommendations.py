"""A champion's evaluation as monitoring reads it: lists, what was to be found, what was known, and figures of them.

In: the artefact's evaluation frames, the catalogue. Out: per-subscriber NDCG, genre diversity and exposure.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.findings import MissingInputError
from monitoring.warehouse import Champion
from training.evaluation import K, as_shown, per_subscriber

MARQUEE = "marquee"
NEIGHBOURS = "item_knn"
POPULARITY = "popularity"


@dataclass(frozen=True)
class Evaluation:
    """The frames of one protocol of an artefact; lists are cut at K."""

    protocol: str
    lists: pd.DataFrame
    relevant: pd.DataFrame
    seen: pd.DataFrame

    @classmethod
    def read(cls, champion: Champion, protocol: str) -> Self:
        """Read the evaluation of `champion`.

        Raises:
            MissingInputError: a file is gone, or holds nothing of the protocol or of the model.
        """
        topk, relevant, seen = (
            frame[frame["protocol"] == protocol]
            for frame in (champion.read_frame(f"evaluation/{name}.parquet") for name in ("topk", "relevant", "seen"))
        )
        if relevant.empty or MARQUEE not in set(topk["model"]):
            raise MissingInputError(
                f"{protocol} evaluation",
                f"the artefact of {champion.model_version} holds no lists of {MARQUEE} on the split {protocol}",
                "fail",
            )
        return cls(protocol, topk[topk["rank"] <= K], relevant, seen)

    def models(self) -> list[str]:
        return list(self.lists["model"].unique())

    def of_model(self, model: str) -> pd.DataFrame:
        """The lists of one model.

        Raises:
            MissingInputError: it has none.
        """
        lists = self.lists[self.lists["model"] == model]
        if lists.empty:
            raise MissingInputError(model, f"the artefact holds no lists of {model} on the split {self.protocol}")
        return lists

    def as_shown(self) -> pd.DataFrame:
        """The lists that subscribers are shown."""
        return as_shown(self.lists)

    def ndcg(self, model: str) -> pd.Series:
        """NDCG@10 of each subscriber, by subscriber_id."""
        return per_subscriber(self.of_model(model), self.relevant)["ndcg"]


@dataclass(frozen=True)
class GenreTable:
    """Which genres each content has: (N, G), rows in the order of `content_ids`."""

    genres: tuple[str, ...]
    content_ids: pd.Index
    has_genre: NDArray[np.float64]

    @classmethod
    def of(cls, contents: pd.DataFrame) -> Self:
        lists = [list(genres) if genres is not None else [] for genres in contents["genres"]]
        names = tuple(sorted({genre for genres in lists for genre in genres}))
        place = {name: column for column, name in enumerate(names)}
        table = np.zeros((len(lists), len(names)))
        for row, genres in enumerate(lists):
            table[row, [place[genre] for genre in genres]] = 1.0
        return cls(names, contents.index, table)

    def rows(self, content_ids: pd.Series) -> NDArray[np.float64]:
        """(len, G); contents that have left the catalogue have no genre."""
        at = np.asarray(self.content_ids.get_indexer(pd.Index(content_ids)))
        rows: NDArray[np.float64] = np.where((at >= 0)[:, None], self.has_genre[at], 0.0)
        return rows

    def exposure(self, content_ids: pd.Series) -> NDArray[np.float64]:
        """(G,) share of each genre among `content_ids`; a content's genres share its place."""
        rows = self.rows(content_ids)
        shares: NDArray[np.float64] = (rows / np.maximum(rows.sum(axis=1, keepdims=True), 1.0)).sum(axis=0)
        return shares / max(float(shares.sum()), 1e-12)

    def list_diversity(self, lists: pd.DataFrame) -> pd.Series:
        """How far apart two titles of a list are in their genres, on average (1 less the cosine), by subscriber_id.

        Zero: all of one kind. One: no two share a genre. (Smyth and McClave 2001, intra-list diversity)
        """
        rows = self.rows(lists["content_id"])
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        directions = pd.DataFrame(rows / np.maximum(norms, 1e-12), index=pd.Index(lists["subscriber_id"]))
        # the sum over pairs of a list is the square of its sum, less each title with itself
        sums = directions.groupby(level=0).sum().pow(2).sum(axis=1)
        with_itself = directions.pow(2).sum(axis=1).groupby(level=0).sum()
        counts = directions.groupby(level=0).size()
        pairs = counts * (counts - 1)
        return 1.0 - (sums - with_itself)[pairs > 0] / pairs[pairs > 0]
