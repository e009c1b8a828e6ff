"""What any recommender has to beat, and what it falls back on: popularity, popularity of the week, item-kNN.

Legend: N contents, U subscribers, E subscribers to recommend to.
"""

import numpy as np
from scipy import sparse

from training.dataset import DAY, Floats, Interactions, Ints, Split


def popularity(train: Interactions, item_count: int) -> Floats:
    """How often each content was consumed.  # (N + 1,)"""
    return np.bincount(train.items, minlength=item_count + 1).astype(np.float32)


def popularity_before(train: Interactions, item_count: int, cuts: Ints, days: int = 7) -> Floats:
    """How often in the `days` before each cut; ties go by overall popularity.  # (E, N + 1)"""
    overall = popularity(train, item_count)
    scores = np.empty((len(cuts), item_count + 1), dtype=np.float32)
    known: dict[int, Floats] = {}
    for row, cut in enumerate(cuts.tolist()):
        if cut not in known:
            low, high = np.searchsorted(train.moments, [cut - days * DAY, cut])
            known[cut] = np.bincount(train.items[low:high], minlength=item_count + 1) + overall / (overall.sum() + 1)
        scores[row] = known[cut]
    return scores


def neighbours(train: Interactions, item_count: int, neighbour_count: int = 100) -> sparse.csr_matrix:
    """Cosine similarity of contents by who consumed them, the nearest `neighbour_count` each.  # (N + 1, N + 1)

    Source: Sarwar et al. 2001, item-based collaborative filtering.
    """
    shape = (len(train.subscriber_ids), item_count + 1)
    seen = sparse.csr_matrix((np.ones(len(train.items), dtype=np.float32), (train.users, train.items)), shape=shape)
    seen.data[:] = 1.0
    norms = np.sqrt(np.asarray(seen.sum(axis=0)).ravel())
    scaled = seen @ sparse.diags(1.0 / np.maximum(norms, 1.0))
    similarity = (scaled.T @ scaled).toarray()
    np.fill_diagonal(similarity, 0.0)
    if neighbour_count < item_count:
        floor = np.partition(similarity, -neighbour_count, axis=1)[:, -neighbour_count][:, None]
        similarity[similarity < floor] = 0.0
    return sparse.csr_matrix(similarity.astype(np.float32))


def neighbour_scores(similarity: sparse.csr_matrix, sequences: list[Ints], recent: int | None = None) -> Floats:
    """Sum of similarities to what was consumed, all of it or the `recent` last.  # (E, N + 1)"""
    rows = np.concatenate([np.full(len(s[-recent:] if recent else s), row) for row, s in enumerate(sequences)])
    items = np.concatenate([s[-recent:] if recent else s for s in sequences])
    history = sparse.csr_matrix(
        (np.ones(len(items), dtype=np.float32), (rows, items)), shape=(len(sequences), similarity.shape[0])
    )
    scores: Floats = (history @ similarity).toarray().astype(np.float32)
    return scores


def top_unseen(scores: Floats, split: Split, allowed: np.ndarray, k: int) -> Ints:
    """The k best contents of each subscriber that are allowed and not in their training side; 0 where none is left.

    Shapes: scores (N + 1,) or (E, N + 1); the answer (E, k), or (E, N) of a catalogue smaller than k.
    """
    scores = np.where(allowed, np.broadcast_to(scores, (len(split.users), len(allowed))), -np.inf)
    k = min(k, len(allowed) - 1)
    for row, seen in enumerate(split.histories()):
        scores[row, seen] = -np.inf
    best = np.argpartition(-scores, k, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    return np.where(np.isfinite(np.take_along_axis(scores, best, axis=1)), best, 0)
