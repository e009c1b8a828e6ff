"""What may make a personal list: each model judges contents for one subscriber; `MARQUEE_SERVED_MODEL` names the one.

In: the model's artefact with catalogue and features, what is known of a subscriber, what may be shown. Out: items with
scores, or the reason why this model has nothing to say. They are the models that `marquee evaluate` measures, over the
same matrices; consent, hard rules, composition, pins and the log of impressions are the recommender's, whatever the
model.

Legend: N contents of the model, C contents of the shelf, K items judged, D embedding size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from scipy import sparse

from activation.serving.answers import FallbackReason, History
from activation.serving.artefact import Artefact, Floats, Indices
from activation.serving.explaining import NEWEST_FIRST, POPULAR, POPULAR_BEFORE
from activation.serving.features import ContentTable, taste_scores
from activation.serving.live_state import Snapshot
from activation.serving.shelf import Bools
from feature_repo.candidates import find_candidates
from feature_repo.columns import SubscriberFeatures
from feature_repo.simple_models import NEWEST_ALIKE, week_popularity
from marquee.errors import MarqueeError
from marquee.settings import ServedModel

# twice the longest list: composing leaves some of it out
_MOST_JUDGED = 200


class NotPersonalError(MarqueeError):
    """A personal list cannot be made, for `reason`."""

    def __init__(self, reason: FallbackReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class Question:
    """What a model may look at for one list.

    Attributes:
        artefact: the snapshot's.
        history: of `features`.
        consumed: all that the subscriber ever did.
        allowed: (C,) what no hard rule forbids and was not consumed.
        device: one of DEVICE_TYPES of `feature_repo.tower_inputs`; None: nobody knows.
    """

    artefact: Artefact
    snapshot: Snapshot
    features: SubscriberFeatures
    history: History
    consumed: frozenset[str]
    allowed: Bools
    device: str | None
    now: datetime

    @property
    def contents(self) -> ContentTable:
        """Raises NotPersonalError: the contents' features are not online."""
        if self.snapshot.contents is None:
            raise NotPersonalError(FallbackReason.FEATURES_UNAVAILABLE)
        return self.snapshot.contents

    @property
    def allowed_items(self) -> Bools:
        """`allowed` by item; what is not in the catalogue is not.  # (N + 1,)"""
        # the last stands for what is not in the catalogue
        return np.append(self.allowed, False)[self.snapshot.rows]

    def embedding(self) -> Floats:
        """Where the subscriber stands.  # (D,)

        Raises:
            NotPersonalError: nothing is known of the subscriber that the tower can tell from anybody's.
        """
        if not self.artefact.knows(self.history, self.features.profile):
            raise NotPersonalError(FallbackReason.NO_HISTORY)
        return self.artefact.subscriber_embedding(self.history, self.features.profile, self.device, self.now)


@dataclass(frozen=True, eq=False)
class Judged:
    """Items in any order with their scores, higher is better.

    Attributes:
        items, scores: (K,)
        chances: (K, 3) as `Artefact.rank` has them; None of a model that foresees none.
        reasons: by item, of those that are not there for anything that the subscriber did.
    """

    items: Indices = field(repr=False)
    scores: Floats = field(repr=False)
    chances: Floats | None = field(default=None, repr=False)
    reasons: Mapping[int, str] = field(default_factory=dict, repr=False)


Model = Callable[[Question], Judged]


def marquee(question: Question) -> Judged:
    """The re-ranker's judgement of what the towers retrieve, of the week's popular and of the newest."""
    query, contents = question.embedding(), question.contents
    candidates, similarities = retrieve(question, query)
    if len(candidates) == 0:
        raise NotPersonalError(FallbackReason.NO_HISTORY)
    matrix = contents.ranking_matrix(
        question.artefact, question.features, question.consumed, candidates, similarities, question.now
    )
    return Judged(candidates, *question.artefact.rank(matrix))


def two_tower(question: Question) -> Judged:
    """The towers' dot products alone."""
    query = question.embedding()
    found = question.artefact.nearest.search(query, question.allowed_items, _MOST_JUDGED)
    return Judged(found, question.artefact.nearest.products(query, found))


def ease(question: Question) -> Judged:
    """EASE's weights of all that was consumed."""
    return _of_taste(question, lambda items: taste_scores(question.artefact, question.consumed, items))


def item_knn(question: Question) -> Judged:
    """Similarities to all that was consumed, by who consumed both."""
    consumed = sorted(question.artefact.items(question.consumed))
    return _of_taste(question, lambda items: question.artefact.neighbours.total_similarity(consumed, items))


def content_based(question: Question) -> Judged:
    """Likeness of genres, type and title to what was consumed last."""
    likeness = question.snapshot.likeness
    if likeness is None:
        raise NotPersonalError(FallbackReason.FEATURES_UNAVAILABLE)
    newest = np.array(question.artefact.items(question.history.content_ids)[-NEWEST_ALIKE:], dtype=np.int64)
    counts = np.bincount(newest, minlength=len(likeness.side)).astype(np.float32)
    (scores,) = likeness.scores(sparse.csr_matrix(counts[np.newaxis]))
    return _of_taste(question, lambda items: scores[items])


def popularity_7d(question: Question) -> Judged:
    """How often others consumed it in the last seven days, as the features count it."""
    counts = question.contents.features.counts
    items = np.flatnonzero(question.allowed_items)
    judged = _best(question, items, week_popularity(counts[:, 1], counts[:, 3])[items])
    found = zip(judged.items.tolist(), counts[judged.items][:, [1, 3]].tolist(), strict=True)
    told = {item: POPULAR if week else POPULAR_BEFORE if ever else NEWEST_FIRST for item, (week, ever) in found}
    return replace(judged, reasons=told)


MODELS: Mapping[ServedModel, Model] = {
    "marquee": marquee,
    "two_tower": two_tower,
    "ease": ease,
    "item_knn": item_knn,
    "content_based": content_based,
    "popularity_7d": popularity_7d,
}


def retrieve(question: Question, query: Floats) -> tuple[Indices, Floats]:
    """What the ranker looks at of what may be shown, nearest first, with its dot products.  # (D,) -> (K,), (K,)"""
    gone = np.flatnonzero(~question.allowed_items)
    # as many as in training: the ranker judges a candidate by its place among them
    count = question.artefact.manifest.candidate_count
    moment = question.now.timestamp()
    return find_candidates(question.artefact.nearest, query, question.snapshot.findable, gone, moment, count)


def _of_taste(question: Question, score: Callable[[Indices], Floats]) -> Judged:
    """By scores of what may be shown; what has none fills the list up, as what is popular.

    Raises:
        NotPersonalError: nothing has a score.
    """
    items = np.flatnonzero(question.allowed_items)
    scores = score(items)
    if not scores.any():
        raise NotPersonalError(FallbackReason.NO_HISTORY)
    judged = _best(question, items, scores)
    names, popular_ids = question.artefact.content_ids, question.snapshot.popular_ids
    unscored = judged.items[judged.scores == 0].tolist()
    told = {item: POPULAR if names[item - 1] in popular_ids else NEWEST_FIRST for item in unscored}
    return replace(judged, reasons=told)


def _best(question: Question, items: Indices, scores: Floats) -> Judged:
    """The best of `items`; what the model holds for equal comes in the order of popularity.  # (K',), (K',)"""
    rows = best_rows(scores, question.snapshot.popular_places[items], _MOST_JUDGED)
    return Judged(items[rows], scores[rows])


def best_rows(scores: Floats, places: Indices, count: int) -> Indices:
    """Where the `count` highest scores are, best first; of equal ones the lower place.  # (K',), (K',) -> (K,)"""
    rows = np.arange(len(scores))
    if len(scores) > count:
        # sorting a large catalogue takes longer than a request may
        floor = np.partition(scores, -count)[-count]
        above, equal = np.flatnonzero(scores > floor), np.flatnonzero(scores == floor)
        rest = count - len(above)
        if len(equal) > rest:
            equal = equal[np.argpartition(places[equal], rest)[:rest]]
        rows = np.concatenate([above, equal])
    return rows[np.lexsort((places[rows], -scores[rows]))]
