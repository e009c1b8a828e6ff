"""The system as it serves: retriever, candidates, re-ranker; fitted and measured on one split.

Stacking without looking ahead: the ranker learns from labels that the retriever it sees has not trained on; then the
retriever takes those labels in, by a few more epochs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from feature_repo.candidates import choose_candidates
from feature_repo.ranking_inputs import NEIGHBOUR_WINDOW
from training import baselines, ranker, towers
from training.dataset import Contents, Floats, Interactions, Ints, Split
from training.ranker import CANDIDATE_COUNT, Ranker
from training.ranking_features import RankingFeatures
from training.towers import TowerConfig, TwoTower

Progress = Callable[[str, int, float], None]


@dataclass(frozen=True)
class System:
    retriever: TwoTower
    ranker: Ranker
    similarity: sparse.csr_matrix


@dataclass(frozen=True)
class RankedLists:
    """The k best of each subscriber of a split by one model.  # (E, k), (E, k)"""

    model: str
    items: Ints
    scores: Floats


def fit_system(
    split: Split,
    inner: Split,
    contents: Contents,
    config: TowerConfig,
    features: RankingFeatures,
    seed: int,
    progress: Progress,
) -> System:
    """Fit on the training side of `split`; `inner` is a split of that side, whose labels teach the ranker."""
    epochs = config.temporal_epochs if split.protocol == "temporal" else config.epochs
    torch.manual_seed(seed)
    retriever = TwoTower(contents.side, config)
    towers.fit(
        retriever, inner.train.sequences(), epochs, seed, contents.is_real,
        lambda epoch, loss: progress(f"{split.protocol}: towers", epoch, loss),
    )  # fmt: skip
    fitted = ranker.without_labels()
    if len(inner.users):
        item_count = len(contents.content_ids)
        lists = _lists(
            _retrieval_scores(retriever, inner.histories()),
            baselines.popularity_before(inner.train, item_count, inner.cuts),
            baselines.neighbours(inner.train, item_count),
            inner,
            contents,
            features,
        )
        fitted = ranker.fit(lists, inner.relevant, seed)
    tuned(retriever, split.train, contents.is_real, seed, progress, f"{split.protocol}: tuning")
    return System(retriever, fitted, baselines.neighbours(split.train, len(contents.content_ids)))


def tuned(
    retriever: TwoTower, interactions: Interactions, allowed: np.ndarray, seed: int, progress: Progress, name: str
) -> None:
    """Take newer interactions in, by a few epochs at a third of the learning rate."""
    config = retriever.config
    retriever.config = replace(config, learning_rate=config.learning_rate / 3)
    towers.fit(
        retriever, interactions.sequences(), config.tuning_epochs, seed + 1, allowed,
        lambda epoch, loss: progress(name, epoch, loss),
    )  # fmt: skip
    retriever.config = config


def ranked_lists(
    system: System, split: Split, contents: Contents, features: RankingFeatures, k: int
) -> list[RankedLists]:
    """Lists of the system, of its retriever alone, and of every baseline, on the same split."""
    item_count = len(contents.content_ids)
    histories = split.histories()
    retrieval = _retrieval_scores(system.retriever, histories)
    week = baselines.popularity_before(split.train, item_count, split.cuts)
    by_model = {
        "popularity": np.broadcast_to(
            baselines.popularity(split.train, item_count), (len(split.users), item_count + 1)
        ),
        "popularity_7d": week,
        "item_knn": baselines.neighbour_scores(system.similarity, histories),
        "two_tower": retrieval,
    }
    lists = []
    for model, scores in by_model.items():
        items = baselines.top_unseen(scores, split, contents.is_real, k)
        lists.append(RankedLists(model, items, np.take_along_axis(scores, items, axis=1).astype(np.float32)))
    shown = _lists(retrieval, week, system.similarity, split, contents, features)
    items, scores = ranker.rerank(system.ranker, shown, k)
    return [*lists, RankedLists("marquee", items, scores)]


def list_frame(
    split: Split, lists: list[RankedLists], subscriber_ids: np.ndarray, content_ids: np.ndarray
) -> pd.DataFrame:
    """protocol, model, subscriber_id, content_id, rank and score of each place of `lists` that holds a content.

    Args:
        subscriber_ids, content_ids: by number; that of item 1 comes first.
    """
    users = subscriber_ids[split.users]
    frames = []
    for ranked in lists:
        k = ranked.items.shape[1]
        items = ranked.items.ravel()
        frame = pd.DataFrame(
            {
                "protocol": split.protocol,
                "model": ranked.model,
                "subscriber_id": users.repeat(k),
                "content_id": content_ids[items - 1],
                "rank": np.tile(np.arange(1, k + 1), len(users)),
                "score": ranked.scores.ravel(),
            }
        )
        frames.append(frame[items > 0])
    return pd.concat(frames, ignore_index=True)


def relevant_frame(split: Split, subscriber_ids: np.ndarray, content_ids: np.ndarray) -> pd.DataFrame:
    """protocol, subscriber_id and content_id of what `split` holds back; ids as for `list_frame`."""
    return pd.DataFrame(
        {
            "protocol": split.protocol,
            "subscriber_id": subscriber_ids[split.users].repeat([len(items) for items in split.relevant]),
            "content_id": content_ids[np.concatenate(split.relevant) - 1],
        }
    )


def candidate_count(contents: Contents) -> int:
    """How many candidates the towers give, in training and so in serving: at most half of a small catalogue."""
    return min(CANDIDATE_COUNT, int(contents.is_real.sum()) // 2)


def _lists(
    retrieval: Floats,
    week: Floats,
    similarity: sparse.csr_matrix,
    split: Split,
    contents: Contents,
    features: RankingFeatures,
) -> ranker.CandidateLists:
    nearby = baselines.neighbour_scores(similarity, split.histories(), NEIGHBOUR_WINDOW)
    return ranker.candidate_lists(features, split, _candidates(retrieval, week, split, contents), retrieval, nearby)


def _candidates(retrieval: Floats, week: Floats, split: Split, contents: Contents) -> Ints:
    """Candidates of each of the E subscribers, 0 where one has fewer than another.  # (E, K)"""
    count = candidate_count(contents)
    found = []
    for row, seen in enumerate(split.histories()):
        scores = np.where(contents.is_real, retrieval[row], -np.inf)
        scores[seen] = -np.inf
        found.append(choose_candidates(scores, np.floor(week[row]), count))
    padded = np.zeros((len(found), max(map(len, found), default=0)), dtype=np.int64)
    for row, items in enumerate(found):
        padded[row, : len(items)] = items
    return padded


def _retrieval_scores(retriever: TwoTower, histories: list[Ints]) -> Floats:
    return towers.embed_subscribers(retriever, histories) @ towers.embed_contents(retriever).T
