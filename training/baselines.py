"""What any recommender has to beat, and what it falls back on: popularity, of the week too, likeness, item-kNN, EASE.

Legend: N contents, U subscribers, E subscribers to recommend to.
"""

import numpy as np
from scipy import sparse

from feature_repo.simple_models import NEWEST_ALIKE, Likeness, week_popularity
from training.dataset import DAY, Bools, Contents, Interactions
from training.histories import Floats, Histories, Ints

# the newest of whoever consumed more: pairs grow with the square, and a million plays of one are no million opinions
_LONGEST = 1_000
# contents that are weighed against each other, the most consumed ones: the inverse takes their number cubed
_MOST_WEIGHED = 6_000
_REGULARISATION = 500.0
# similarities held dense at a time: 64 MiB
_DENSE_VALUES = 2**24


def popularity(train: Interactions, item_count: int) -> Floats:
    """How often each content was consumed.  # (N + 1,)"""
    return np.bincount(train.items, minlength=item_count + 1).astype(np.float32)


def popularity_before(train: Interactions, item_count: int, cuts: Ints, days: int = 7) -> Floats:
    """How often in the `days` before each cut; ties go by overall popularity.  # (E, N + 1)"""
    overall = popularity(train, item_count)
    distinct, row_of = np.unique(cuts, return_inverse=True)
    scores = np.empty((len(distinct), item_count + 1), dtype=np.float32)
    for row, cut in enumerate(distinct.tolist()):
        low, high = np.searchsorted(train.moments, [cut - days * DAY, cut])
        week = np.bincount(train.items[low:high], minlength=item_count + 1)
        scores[row] = week_popularity(week.astype(np.float32), overall)
    return scores[row_of]


def likeness(contents: Contents) -> Likeness:
    """How alike the contents of a catalogue are by what they say of themselves."""
    return Likeness.of(contents.side, contents.words, contents.word_weights)


def likeness_scores(alike: Likeness, histories: Histories) -> Floats:
    """How alike each content is to the newest of each history.  # (E, N + 1)"""
    return alike.scores(_consumed(histories.newest(NEWEST_ALIKE), len(alike.side)))


def neighbours(train: Interactions, item_count: int, neighbour_count: int = 100) -> sparse.csr_matrix:
    """Cosine similarity of contents by who consumed them, the nearest `neighbour_count` each.  # (N + 1, N + 1)

    Source: Sarwar et al. 2001, item-based collaborative filtering.
    """
    seen = _seen(train, item_count)
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


def taste_weights(train: Interactions, item_count: int, kept_count: int = 100) -> sparse.csr_matrix:
    """What having consumed one content says for another, all others held equal.  # (N + 1, N + 1), from row to column

    EASE^R (Steck 2019), over the 6,000 most consumed contents and with the `kept_count` weights of each that say most.
    """
    seen = _seen(train, item_count)
    counts = np.asarray(seen.sum(axis=0)).ravel()
    weighed = np.sort(np.argsort(-counts, kind="stable")[:_MOST_WEIGHED])
    weighed = weighed[counts[weighed] > 0]
    part = seen[:, weighed]
    together = (part.T @ part).toarray().astype(np.float64)
    own = np.arange(len(weighed))
    together[own, own] += _REGULARISATION
    weights = np.linalg.inv(together)
    weights = (weights / -np.diag(weights)).astype(np.float32)
    weights[own, own] = 0.0
    if kept_count < len(weighed):
        size = np.abs(weights)
        weights[size < np.partition(size, -kept_count, axis=0)[-kept_count]] = 0.0
    there = sparse.coo_matrix(weights)
    shape = (item_count + 1, item_count + 1)
    return sparse.csr_matrix((there.data, (weighed[there.row], weighed[there.col])), shape=shape)


def neighbour_scores(similarity: sparse.csr_matrix, histories: Histories) -> Floats:
    """Sum of similarities to what was consumed; what was consumed again counts again.  # (E, N + 1)"""
    scores: Floats = (_consumed(histories, similarity.shape[0]) @ similarity).toarray().astype(np.float32)
    return scores


def consumed_scores(relation: sparse.csr_matrix, histories: Histories) -> Floats:
    """Sum of similarities to, or weights of, all that was consumed, each content once, as both are learnt.

    # (E, N + 1)
    """
    consumed = _consumed(histories, relation.shape[0])
    consumed.data[:] = 1.0
    scores: Floats = (consumed @ relation).toarray().astype(np.float32)
    return scores


def _seen(train: Interactions, item_count: int) -> sparse.csr_matrix:
    """One where somebody consumed a content.  # (U, N + 1)"""
    seen = _consumed(train.histories().newest(_LONGEST), item_count + 1)
    seen.data[:] = 1.0
    return seen


def _consumed(histories: Histories, size: int) -> sparse.csr_matrix:
    """How often each consumed what.  # (E, size)"""
    ones = np.ones(len(histories.items), dtype=np.float32)
    # histories lie in rows already; a copy of the items is sorted
    found = sparse.csr_matrix((ones, histories.items.copy(), histories.bounds), shape=(len(histories), size))
    found.sum_duplicates()
    return found


def top_unseen(scores: Floats, seen: Histories, allowed: Bools, k: int) -> Ints:
    """The k best contents of each subscriber that are allowed and not among `seen`; 0 where none is left.

    Shapes: scores and allowed (N + 1,) or (E, N + 1); the answer (E, k), or (E, N) of a catalogue smaller than k.
    """
    scores = np.where(allowed, np.broadcast_to(scores, (len(seen), allowed.shape[-1])), -np.inf)
    k = min(k, allowed.shape[-1] - 1)
    scores[seen.rows(), seen.items] = -np.inf
    best = np.argpartition(-scores, k, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    return np.where(np.isfinite(np.take_along_axis(scores, best, axis=1)), best, 0)
