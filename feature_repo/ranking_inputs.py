"""The re-ranker's inputs: one definition, for training and for requests alike.

Legend: K candidates of one request, F inputs.
"""

import numpy as np

from feature_repo.columns import ContentFeatures, Floats, SubscriberFeatures

NAMES = (
    "retrieval_score",
    "retrieval_rank",
    "neighbour_score",
    "taste_score",
    "popularity_1d",
    "popularity_7d",
    "popularity_28d",
    "popularity",
    "trend_7d",
    "popularity_rank_7d",
    "watched_fraction",
    "freshness",
    "genre_match",
    "is_video",
    "is_article",
    "is_podcast",
    "subscriber_activity",
)
# item-kNN looks at this many of the newest contents: an old one says little about what comes next
NEIGHBOUR_WINDOW = 10


def ranking_inputs(
    subscriber: SubscriberFeatures,
    contents: ContentFeatures,
    retrieval_scores: Floats,
    neighbour_scores: Floats,
    taste_scores: Floats,
) -> Floats:
    """The matrix (K, F) of the candidates `contents`, columns in the order of NAMES.

    Scores are taken relative to the request (standardised over its candidates): the ranker orders within a request, and
    their scale moves from one training to the next.

    Args:
        retrieval_scores: (K,) dot products of the towers.
        neighbour_scores: (K,) item-kNN scores of the recent sequence.
        taste_scores: (K,) EASE's scores of all that was consumed.
    """
    counts = np.log1p(contents.counts)  # (K, 4)
    order = np.empty(len(retrieval_scores), dtype=np.float32)
    order[np.argsort(-retrieval_scores, kind="stable")] = np.arange(len(retrieval_scores), dtype=np.float32)
    week_order = np.empty_like(order)
    week_order[np.argsort(-contents.counts[:, 1], kind="stable")] = np.arange(len(order), dtype=np.float32)
    affinity = np.zeros(contents.genres.shape[1], dtype=np.float32)
    if len(subscriber.genre_affinity) == len(affinity):
        affinity[:] = subscriber.genre_affinity
    genre_total = np.maximum(contents.genres.sum(axis=1), 1.0)
    columns = [
        _standardised(retrieval_scores),
        -np.log1p(order),
        _standardised(neighbour_scores),
        _standardised(taste_scores),
        counts[:, 0],
        counts[:, 1],
        counts[:, 2],
        counts[:, 3],
        counts[:, 1] - np.log1p(contents.counts[:, 2] / 4),
        -np.log1p(week_order),
        contents.mean_watched_fraction,
        -np.log1p(np.maximum(contents.days_since_published, 0.0)),
        (contents.genres @ affinity) / genre_total,
        contents.types[:, 0],
        contents.types[:, 1],
        contents.types[:, 2],
        np.full(len(order), np.log1p(subscriber.interaction_count), dtype=np.float32),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _standardised(values: Floats) -> Floats:
    spread = float(values.std())
    if spread == 0.0:
        return np.zeros_like(values, dtype=np.float32)
    return np.asarray((values - values.mean()) / spread, dtype=np.float32)
