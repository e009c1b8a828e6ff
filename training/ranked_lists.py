"""Ranked lists in columns, and as the frames that the artefact and `marquee evaluate` write.

Legend: E subscribers, K places of a list, N contents.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_repo.columns import CONTENT_TYPES
from feature_repo.composition import Doubles, Traits, Weights, compose, distribution, genre_shares
from training.dataset import Bools, Split
from training.histories import Floats, Histories, Ints


@dataclass(frozen=True)
class RankedLists:
    """The K best of each subscriber of a split by one model; item 0 where there were fewer.  # (E, K), (E, K)"""

    model: str
    items: Ints
    scores: Floats


def joined(parts: Sequence[RankedLists]) -> RankedLists:
    """Lists of one model for one subscriber after another; short ones are filled up with item 0."""
    items, scores = stacked([part.items for part in parts]), stacked([part.scores for part in parts])
    return RankedLists(parts[0].model, items, scores)


def stacked(parts: Sequence[NDArray]) -> NDArray:  # type: ignore[type-arg]
    """One after another, each filled up with zeros to the second dimension of the widest."""
    width = max(part.shape[1] for part in parts)
    rest = [(0, 0)] * (parts[0].ndim - 2)
    return np.concatenate([np.pad(part, [(0, 0), (0, width - part.shape[1]), *rest]) for part in parts])


def shares_of(side: Floats) -> Doubles:
    """Genres of each content in shares of 1, without its type, which comes last.  # (N + 1, S) -> (N + 1, G)"""
    return genre_shares(side[:, : side.shape[1] - len(CONTENT_TYPES)])


def tastes(histories: Histories, shares: Doubles) -> Doubles:
    """The genres of what each of E subscribers consumed, as shares of 1.  # (N + 1, G) -> (E, G)"""
    found = np.zeros((len(histories), shares.shape[1]))
    for row in range(len(found)):
        found[row] = distribution(shares[histories.items_of(row)])
    return found


def composed(candidates: RankedLists, histories: Histories, side: Floats, weights: Weights, k: int) -> RankedLists:
    """Lists of k as serving composes them from all that was ranked, without rules about single contents.

    Args:
        candidates: (E, K) all of them.
        side: (N + 1, S) genres, then the type.
    """
    tasted = tastes(histories, shares_of(side))
    types = len(CONTENT_TYPES)
    items, scores = np.zeros((len(tasted), k), dtype=np.int64), np.zeros((len(tasted), k), dtype=np.float32)
    for row, taste in enumerate(tasted):
        there = np.flatnonzero(candidates.items[row])
        about = side[candidates.items[row, there]]
        traits = Traits.of(about[:, :-types], about[:, -types:])
        chosen = there[compose(candidates.scores[row, there], traits, taste, k, weights)]
        items[row, : len(chosen)] = candidates.items[row, chosen]
        scores[row, : len(chosen)] = candidates.scores[row, chosen]
    return RankedLists(f"{candidates.model}_composed", items, scores)


def hits(items: Ints, relevant: list[Ints], item_count: int) -> Bools:
    """Which places of the lists hold something relevant to their subscriber.  # (E, K), E arrays -> (E, K)"""
    rows = np.repeat(np.arange(len(relevant)), [len(found) for found in relevant])
    wanted = rows * (item_count + 1) + np.concatenate(relevant)
    listed = np.arange(len(items))[:, None] * (item_count + 1) + items
    return np.isin(listed, wanted) & (items > 0)


def list_frame(split: Split, lists: RankedLists, subscriber_ids: np.ndarray, content_ids: np.ndarray) -> pd.DataFrame:
    """protocol, model, subscriber_id, content_id, rank and score of each place of `lists` that holds a content.

    Args:
        subscriber_ids, content_ids: by number; that of item 1 comes first.
    """
    k = lists.items.shape[1]
    items = lists.items.ravel()
    is_there = items > 0
    frame = pd.DataFrame(
        {
            "subscriber_id": subscriber_ids[split.users].repeat(k)[is_there],
            "content_id": content_ids[items[is_there] - 1],
            "rank": np.tile(np.arange(1, k + 1), len(split.users))[is_there],
            "score": lists.scores.ravel()[is_there],
        }
    )
    frame.insert(0, "protocol", split.protocol)
    frame.insert(1, "model", lists.model)
    return frame


def relevant_frame(split: Split, subscriber_ids: np.ndarray, content_ids: np.ndarray) -> pd.DataFrame:
    """protocol, subscriber_id and content_id of what `split` holds back; ids as for `list_frame`."""
    return pd.DataFrame(
        {
            "protocol": split.protocol,
            "subscriber_id": subscriber_ids[split.users].repeat([len(items) for items in split.relevant]),
            "content_id": content_ids[np.concatenate(split.relevant) - 1],
        }
    )
