"""The homepage as rails: for you, because you watched, popular this week, new; no title stands on it twice.

In: the recommender and who asks. Out: a `Homepage`; when nothing personal can be said, the rails that need nobody.
"""

from collections.abc import Iterable
from datetime import datetime

from activation.serving.answers import Homepage, Rail, RecommendedItem
from activation.serving.catalogue import Catalogue, Content, title_key
from activation.serving.explaining import NEW, POPULAR, because_of, liked_recently
from activation.serving.recommender import Answer, Recommender, Visitor
from feature_repo.columns import CONTENT_TYPES
from feature_repo.composition import Room

_FOR_YOU_COUNT = 18
_MIN_ALIKE = 4


def build_homepage(
    recommender: Recommender,
    visitor: Visitor,
    now: datetime,
    rail_length: int = 14,
) -> Homepage:
    """The rails for this visitor at this moment. Never raises."""
    answer = recommender.answer(visitor, max(_FOR_YOU_COUNT, rail_length), "homepage", now)
    return arrange(answer, rail_length)


def arrange(answer: Answer, rail_length: int) -> Homepage:
    """Rails of at most `rail_length` from one answer, without a title twice."""
    recommendation, catalogue = answer.recommendation, answer.snapshot.catalogue
    shown = _Shown(answer)
    rails = []
    if recommendation.is_fallback:
        first = shown.take(recommendation.items, rail_length)
        rails.append(Rail("popular", "Popular this week" if _is_popular(first) else "From the catalogue", first))
    else:
        rails.append(Rail("for_you", "For you", shown.take(recommendation.items, rail_length)))
        if (because := _because(answer, shown, rail_length)) is not None:
            rails.append(because)
        popular = (content for content in catalogue.contents if content.interaction_count_7d > 0)
        rails.append(Rail("popular", "Popular this week", shown.take(_static(popular, POPULAR), rail_length)))
    rails.append(Rail("new", "New", shown.take(_static(catalogue.newest, NEW), rail_length)))
    rails += _by_type(catalogue, shown, rail_length)
    return Homepage(
        rails=tuple(rail for rail in rails if rail.items),
        model=recommendation.model,
        model_version=recommendation.model_version,
        is_fallback=recommendation.is_fallback,
        fallback_reason=recommendation.fallback_reason,
        request_id=recommendation.request_id,
        made_at=recommendation.made_at,
        subscriber_id=recommendation.subscriber_id,
    )


class _Shown:
    """Remembers what stands on the page already; lets nothing on it that the answer may not show."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._titles: set[str] = set()

    def take(self, items: Iterable[RecommendedItem], count: int, is_mixed: bool = True) -> tuple[RecommendedItem, ...]:
        """The first `count` that may stand there; the caps hold where contents of several types stand side by side."""
        room = Room(self._answer.snapshot.rules.list_caps if is_mixed else ())
        taken: list[RecommendedItem] = []
        for item in items:
            if len(taken) == count:
                break
            kind = CONTENT_TYPES.index(item.content_type)
            if title_key(item.title) in self._titles or not self._answer.may_show(item.content_id):
                continue
            if room.is_full(len(taken))[kind]:
                continue
            room.take(kind, len(taken))
            self._titles.add(title_key(item.title))
            taken.append(item)
        return tuple(taken)


def _because(answer: Answer, shown: _Shown, count: int) -> Rail | None:
    """What is most like the newest liked content that has enough alike."""
    artefact, catalogue = answer.snapshot.artefact, answer.snapshot.catalogue
    if artefact is None:
        return None
    for liked in liked_recently(artefact, catalogue, answer.history):
        items, values = artefact.neighbours.row(liked.item)
        alike = [artefact.content_ids[item - 1] for item in items[(-values).argsort(kind="stable")].tolist() if item]
        contents = [catalogue.by_id[content_id] for content_id in alike if content_id in catalogue.by_id]
        if len(contents) >= _MIN_ALIKE:
            sentence = because_of(liked.content)
            taken = shown.take(_static(contents, sentence), count)
            if taken:
                return Rail("because", sentence[0].upper() + sentence[1:], taken)
    return None


def _by_type(catalogue: Catalogue, shown: _Shown, count: int) -> list[Rail]:
    rails = []
    for content_type, title in (("article", "To read"), ("podcast", "To listen to")):
        contents = (content for content in catalogue.contents if content.content_type == content_type)
        items = (_item(content, POPULAR if content.interaction_count_7d else NEW) for content in contents)
        rails.append(Rail(content_type, title, shown.take(items, count, is_mixed=False)))
    return rails


def _static(contents: Iterable[Content], reason: str) -> Iterable[RecommendedItem]:
    return (_item(content, reason) for content in contents)


def _item(content: Content, reason: str) -> RecommendedItem:
    return RecommendedItem(
        content.content_id, content.title, content.content_type, content.genres, None, reason, content.is_simulated
    )


def _is_popular(items: tuple[RecommendedItem, ...]) -> bool:
    return bool(items) and items[0].reason == POPULAR
