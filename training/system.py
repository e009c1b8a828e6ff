"""The system as it serves: retriever, candidates, re-ranker; fitted and measured on one split.

Stacking without looking ahead: the ranker learns from labels that the retriever it sees has not trained on; then the
retriever takes those labels in, by a few more epochs.

Legend: E subscribers to recommend to, N contents, K candidates.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from scipy import sparse

from feature_repo.candidates import choose_candidates
from feature_repo.composition import Weights
from feature_repo.ranking_inputs import NEIGHBOUR_WINDOW
from training import baselines, dataset, metrics, ranker, ranking_lessons, tower_fitting, towers
from training.dataset import Bools, Contents, Interactions, Split
from training.evaluation import K
from training.histories import Floats, Histories, Ints
from training.outcomes import Outcomes
from training.ranked_lists import RankedLists, composed, hits, joined, stacked
from training.ranker import CANDIDATE_COUNT, Foreseen, Ranker
from training.ranker_config import RankerConfig
from training.ranking_features import RankingFeatures, contexts
from training.ranking_lessons import CandidateLists, Lesson, Started, Taught
from training.shown_lists import ShownLists
from training.tower_config import TowerConfig
from training.tower_fitting import Schedule
from training.towers import TwoTower

# stage, epoch from 0 on, how many the stage has at most, mean loss
Progress = Callable[[str, int, int, float], None]
# scores of every content for some subscribers, held at a time: 64 MiB
_SCORES_AT_ONCE = 2**24
# who decides when the towers have learnt enough
_FEWEST_JUDGES, _MOST_JUDGES = 300, 2_000
# more lists teach a network of two thousand weights nothing more
_MOST_TAUGHT = 20_000


@dataclass(frozen=True)
class Relations:
    """What contents say for each other: who consumed both, and EASE's weights.  # (N + 1, N + 1) both"""

    similarity: sparse.csr_matrix
    weights: sparse.csr_matrix

    @classmethod
    def of(cls, train: Interactions, item_count: int, given_up_below: float) -> Self:
        """From what was not given up."""
        kept = train.not_given_up(given_up_below)
        return cls(baselines.neighbours(kept, item_count), baselines.taste_weights(kept, item_count))


@dataclass(frozen=True)
class System:
    retriever: TwoTower
    ranker: Ranker
    relations: Relations


@dataclass(frozen=True)
class Lessons:
    """What the ranker learns from beside the inner split's labels.

    Attributes:
        outcomes: what became of those labels.
        shown: lists that were shown to subscribers.
        earlier: what another split has taught.
    """

    outcomes: Outcomes
    shown: ShownLists
    earlier: Taught


def fit_system(
    split: Split,
    inner: Split,
    contents: Contents,
    config: TowerConfig,
    ranker_config: RankerConfig,
    lessons: Lessons,
    features: RankingFeatures,
    seed: int,
    progress: Progress,
    checkpoints: Path | None = None,
) -> tuple[System, Taught]:
    """Fit on the training side of `split`; `inner` is a split of that side, whose labels teach the ranker.

    Gives what taught the ranker beside, for another split's.

    Args:
        checkpoints: a folder in which a run that was broken off leaves its towers, and finds them again.
    """
    torch.manual_seed(seed)
    config = config.sized(len(split.train.items))
    retriever = TwoTower(contents, config, split.train.profile_size)
    schedule = Schedule(
        config.temporal_epochs if split.protocol == "temporal" else config.epochs,
        config.learning_rate,
        _quality(inner, contents),
        config.patience,
        None if checkpoints is None else checkpoints / f"{split.protocol}.checkpoint",
    )
    tower_fitting.fit(
        retriever, inner.train.histories(), schedule, seed,
        lambda epoch, loss: progress(f"{split.protocol}: towers", epoch, schedule.epochs, loss),
    )  # fmt: skip
    wished = dataset.without_given_up(inner, split.train, config.dropped_below)
    fitted, taught = _fitted_ranker(retriever, wished, contents, ranker_config, lessons, features, seed)
    tuned(retriever, split.train, seed, progress, f"{split.protocol}: tuning")
    return System(retriever, fitted, Relations.of(split.train, len(contents.content_ids), config.dropped_below)), taught


def tuned(retriever: TwoTower, interactions: Interactions, seed: int, progress: Progress, name: str) -> None:
    """Take newer interactions in, by a few epochs at a third of the learning rate."""
    schedule = Schedule(retriever.config.tuning_epochs, retriever.config.learning_rate / 3)
    tower_fitting.fit(
        retriever, interactions.histories(), schedule, seed + 1,
        lambda epoch, loss: progress(name, epoch, schedule.epochs, loss),
    )  # fmt: skip


def ranked_lists(
    system: System,
    split: Split,
    outcomes: Outcomes,
    contents: Contents,
    features: RankingFeatures,
    k: int,
    weights: Weights | None = None,
) -> tuple[list[RankedLists], list[Foreseen]]:
    """Lists of the system, of its retriever alone, and of the baselines, on the same split; and what the system foresaw
    of its candidates, beside what `outcomes` says became of them.

    Args:
        weights: with them, the system's lists come once more, composed.
    """
    foreseen: list[list[Foreseen]] = []
    popularity = baselines.popularity(split.train, len(contents.content_ids))
    parts: dict[str, list[RankedLists]] = {}
    likeness = baselines.likeness(contents)
    for part in _parts(system.retriever, system.relations, split, split.histories(), contents):
        scores_of = {
            "popularity": np.broadcast_to(popularity, part.retrieval.shape),
            "popularity_7d": part.week,
            "content_based": baselines.likeness_scores(likeness, part.seen),
            "item_knn": baselines.consumed_scores(system.relations.similarity, part.seen),
            "ease": part.taste,
            "two_tower": part.retrieval,
        }
        for model, scores in scores_of.items():
            items = baselines.top_unseen(scores, part.seen, part.allowed, k)
            found = np.take_along_axis(scores, items, axis=1).astype(np.float32)
            parts.setdefault(model, []).append(RankedLists(model, items, found))
        shown = _candidate_lists(part, system.relations, contents, features)
        scores, chances = ranker.judged(system.ranker, shown)
        judged = RankedLists("marquee", *ranker.best(shown.items, scores, shown.items.shape[1]))
        if weights is not None:
            parts.setdefault("composed", []).append(composed(judged, part.seen, contents.side, weights, k))
        parts.setdefault("marquee", []).append(RankedLists("marquee", judged.items[:, :k], judged.scores[:, :k]))
        foreseen.append(ranker.foreseen(shown.items, chances, part.split, outcomes))
    return [joined(lists) for lists in parts.values()], [
        Foreseen.joined(heads) for heads in zip(*foreseen, strict=True)
    ]


def _quality(inner: Split, contents: Contents) -> Callable[[TwoTower], float] | None:
    """NDCG@10 of a retriever on what `inner` holds back; None where so few are there that chance would decide."""
    if len(inner.users) < _FEWEST_JUDGES:
        return None
    judges = inner.at(np.linspace(0, len(inner.users) - 1, min(len(inner.users), _MOST_JUDGES)).astype(np.int64))
    counts = np.array([len(items) for items in judges.relevant], dtype=np.int64)
    histories = judges.histories()

    def quality(retriever: TwoTower) -> float:
        shown = [
            baselines.top_unseen(scores, seen, contents.showable_at(part.cuts), K)
            for seen, scores, part in _scored(retriever, judges, histories)
        ]
        found = hits(np.concatenate(shown), judges.relevant, len(contents.content_ids))
        return float(metrics.ndcg(found, counts).mean())

    return quality


def candidate_count(contents: Contents) -> int:
    """How many candidates the towers give, in training and so in serving: at most half of a small catalogue."""
    return min(CANDIDATE_COUNT, int(contents.is_real.sum()) // 2)


def _fitted_ranker(
    retriever: TwoTower,
    inner: Split,
    contents: Contents,
    config: RankerConfig,
    lessons: Lessons,
    features: RankingFeatures,
    seed: int,
) -> tuple[Ranker, Taught]:
    if not len(inner.users):
        return ranker.without_labels(config), Taught.nothing()
    if len(inner.users) > _MOST_TAUGHT:
        chosen = np.random.default_rng(seed).choice(len(inner.users), _MOST_TAUGHT, replace=False)
        inner = inner.at(np.sort(chosen))
    relations = Relations.of(inner.train, len(contents.content_ids), retriever.config.dropped_below)
    parts = _parts(retriever, relations, inner, inner.histories(), contents)
    found = ranking_lessons.joined([_candidate_lists(part, relations, contents, features) for part in parts])
    candidates = Lesson.of(found, inner.users, inner.relevant)
    started = Started.of(found, inner.users, lessons.outcomes).with_more(lessons.earlier.started)
    shown = _shown_lesson(retriever, lessons.shown, relations, contents, features)
    if lessons.earlier.shown is not None:
        shown = lessons.earlier.shown.with_more(shown)
    return ranker.fit(candidates, shown, started, config, seed), Taught(started, shown)


def _shown_lesson(
    retriever: TwoTower, shown: ShownLists, relations: Relations, contents: Contents, features: RankingFeatures
) -> Lesson | None:
    """Inputs of what was shown, among the candidates of its moment, as a request would have them."""
    split = shown.split
    if not len(split.users):
        return None
    histories = split.train.histories().before_each(split.users, split.cuts)
    parts, targets, first = [], [], 0
    for part in _parts(retriever, relations, split, histories, contents):
        rows = slice(first, first := first + len(part.seen))
        lists = _candidate_lists(part, relations, contents, features, shown.items[rows])
        # only what was shown could be chosen
        weights = np.zeros(part.retrieval.shape, dtype=np.float32)
        is_shown = np.zeros_like(weights, dtype=bool)
        np.put_along_axis(weights, shown.items[rows], shown.weights[rows], axis=1)
        np.put_along_axis(is_shown, shown.items[rows], True, axis=1)
        is_shown[:, 0] = False
        there = np.take_along_axis(is_shown, lists.items, axis=1)
        parts.append(CandidateLists(np.where(there, lists.items, 0), lists.inputs))
        targets.append(np.where(there, np.take_along_axis(weights, lists.items, axis=1), np.float32(0.0)))
    return Lesson(ranking_lessons.joined(parts), split.users, stacked(targets))


def _scored(retriever: TwoTower, split: Split, histories: Histories) -> Iterator[tuple[Histories, Floats, Split]]:
    """Some subscribers of `split` at a time: histories, the score of every content, their part of the split."""
    table = towers.embed_contents(retriever)
    tower, length = towers.served_tower(retriever, table), retriever.config.sequence_length
    size = max(1, _SCORES_AT_ONCE // len(table))
    for rows in np.array_split(np.arange(len(split.users)), -(-len(split.users) // size)):
        part, seen = split.at(rows), histories.at(rows)
        yield seen, towers.embedded(tower, seen, part.cuts, part.devices, length) @ table.T, part


@dataclass(frozen=True)
class _Part:
    """Some E subscribers of a split, and what is scored for all of their contents at once.  # (E, N + 1) each

    Attributes:
        week: how often each content was consumed in the week before.
        taste: EASE's scores.
        allowed: what may be shown.
    """

    split: Split
    seen: Histories
    retrieval: Floats
    week: Floats
    taste: Floats
    allowed: Bools


def _parts(
    retriever: TwoTower, relations: Relations, split: Split, histories: Histories, contents: Contents
) -> Iterator[_Part]:
    for seen, retrieval, part in _scored(retriever, split, histories):
        yield _Part(
            part,
            seen,
            retrieval,
            baselines.popularity_before(split.train, len(contents.content_ids), part.cuts),
            baselines.consumed_scores(relations.weights, seen),
            contents.showable_at(part.cuts),
        )


def _candidate_lists(
    part: _Part, relations: Relations, contents: Contents, features: RankingFeatures, shown: Ints | None = None
) -> CandidateLists:
    """Candidates of each of the E subscribers with their inputs; `shown` (E, P) are among them whatever else is."""
    cuts, seen = part.split.cuts, part.seen
    nearby = baselines.neighbour_scores(relations.similarity, seen.newest(NEIGHBOUR_WINDOW))
    chosen = candidate_items(
        part.retrieval, part.week, seen, part.allowed, contents.ages_at(cuts), candidate_count(contents)
    )
    if shown is not None:
        chosen = _with(chosen, shown, part.retrieval)
    told = contexts(seen, cuts, contents)
    return ranking_lessons.candidate_lists(features, part.split, chosen, part.retrieval, nearby, part.taste, told)


def _with(candidates: Ints, others: Ints, retrieval: Floats) -> Ints:
    """Both, nearest first, each once; 0 where one has fewer than another.  # (E, K), (E, P), (E, N + 1)"""
    both = [np.unique(np.concatenate(pair)) for pair in zip(candidates, others, strict=True)]
    found = [items[items > 0] for items in both]
    return _filled_up(
        [items[np.argsort(-row[items], kind="stable")] for items, row in zip(found, retrieval, strict=True)]
    )


def candidate_items(retrieval: Floats, week: Floats, seen: Histories, allowed: Bools, ages: Floats, count: int) -> Ints:
    """Candidates of each of the E subscribers, 0 where one has fewer than another.  # (E, K)

    Args:
        retrieval, week: (E, N + 1) dot products, and how often each content was consumed in the week before.
        allowed, ages: (E, N + 1) what may be shown, and how many days ago each content was published.
    """
    similarities = np.where(allowed, retrieval, -np.inf)
    similarities[seen.rows(), seen.items] = -np.inf
    return _filled_up(
        [
            choose_candidates(scores, np.floor(counts), days, count)
            for scores, counts, days in zip(similarities, week, ages, strict=True)
        ]
    )


def _filled_up(found: list[Ints]) -> Ints:
    """Lists as rows, 0 where one is shorter than another.  # (E, K)"""
    rows = np.zeros((len(found), max(map(len, found), default=0)), dtype=np.int64)
    for row, items in enumerate(found):
        rows[row, : len(items)] = items
    return rows
