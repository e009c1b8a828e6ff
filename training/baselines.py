"""What any recommender has to beat, and what it falls back on: popularity, popularity of the week, item-kNN.

Legend: N contents, U subscribers, E subscribers to recommend to.
"""

import numpy as np
from scipy import sparse

from training.dataset import DAY, Bools, Interactions
from training.histories import Floats, Histories, Ints

# the newest of whoever consumed more: pairs grow with the square, and a million plays of one are no million opinions
_LONGEST = 500
# similarities held dense at a time: 256 MiB
_DENSE_VALUES = 2**26


def popularity(train: Interactions, item_count: int) -> Floats:
    """How often each content was consumed.  # (N + 1,)"""
    return np.bincount(train.items, minlength=item_count + 1).astype(np.float32)


def popularity_before(train: Interactions, item_count: int, cuts: Ints, days: int = 7) -> Floats:
    """How often in the `days` before each cut; ties go by overall popularity.  # (E, N + 1)"""
    overall = popularity(train, item_count)
    share = overall / (overall.sum() + 1)
    distinct, row_of = np.unique(cuts, return_inverse=True)
    scores = np.empty((len(distinct), item_count + 1), dtype=np.float32)
    for row, cut in enumerate(distinct.tolist()):
        low, high = np.searchsorted(train.moments, [cut - days * DAY, cut])
        scores[row] = np.bincount(train.items[low:high], minlength=item_count + 1) + share
    return scores[row_of]


def neighbours(train: Interactions, item_count: int, neighbour_count: int = 100) -> sparse.csr_matrix:
    """Cosine similarity of contents by who consumed them, the nearest `neighbour_count` each.  # (N + 1, N + 1)

    Source: Sarwar et al. 2001, item-based collaborative filtering.
    """
    newest = train.histories().newest(_LONGEST)
    shape = (len(newest), item_count + 1)
    seen = sparse.csr_matrix((np.ones(len(newest.items), dtype=np.float32), (newest.rows(), newest.items)), shape=shape)
    seen.data[:] = 1.0
    norms = np.sqrt(np.asarray(seen.sum(axis=0)).ravel())
    scaled = seen @ sparse.diags(1.0 / np.maximum(norms, 1.0).astype(np.float32))
    transposed = scaled.T.tocsr()
    blocks = []
    step = max(1, _DENSE_VALUES // (item_count + 1))
    for low in range(0, item_count + 1, step):
        similarity = (transposed[low : low + step] @ scaled).toarray()
        own = np.arange(len(similarity))
        similarity[own, low + own] = 0.0
        if neighbour_count < item_count:
            floor = np.partition(similarity, -neighbour_count, axis=1)[:, -neighbour_count][:, None]
            similarity[similarity < floor] = 0.0
        blocks.append(sparse.csr_matrix(similarity))
    return sparse.csr_matrix(sparse.vstack(blocks, format="csr"))


def neighbour_scores(similarity: sparse.csr_matrix, histories: Histories) -> Floats:
    """Sum of similarities to what was consumed.  # (E, N + 1)"""
    history = sparse.csr_matrix(
        (np.ones(len(histories.items), dtype=np.float32), (histories.rows(), histories.items)),
        shape=(len(histories), similarity.shape[0]),
    )
    scores: Floats = (history @ similarity).toarray().astype(np.float32)
    return scores


def top_unseen(scores: Floats, seen: Histories, allowed: Bools, k: int) -> Ints:
    """The k best contents of each subscriber that are allowed and not among `seen`; 0 where none is left.

    Shapes: scores (N + 1,) or (E, N + 1); the answer (E, k), or (E, N) of a catalogue smaller than k.
    """
    scores = np.where(allowed, np.broadcast_to(scores, (len(seen), len(allowed))), -np.inf)
    k = min(k, len(allowed) - 1)
    scores[seen.rows(), seen.items] = -np.inf
    best = np.argpartition(-scores, k, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    return np.where(np.isfinite(np.take_along_axis(scores, best, axis=1)), best, 0)
