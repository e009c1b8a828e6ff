"""Why an item is there, in words that are true of this subscriber and this item.

In: the model, the catalogue, what the subscriber consumed last, the chosen items. Out: one sentence an item.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from activation.serving.answers import History
from activation.serving.artefact import Artefact, Floats, Indices
from activation.serving.catalogue import Catalogue, Content

POPULAR = "popular this week"
NEW = "new in the catalogue"
NEWEST_FIRST = "from the catalogue, newest first"
POPULAR_BEFORE = "popular over time"

_CONSIDERED_RECENT = 20
_MIN_WATCHED_FRACTION = 0.3
# below this two contents share little more than an audience; measured as cosine of embeddings
_MIN_COSINE = 0.35
_VERBS = {"video": "watched", "article": "read", "podcast": "listened to"}


@dataclass(frozen=True)
class _Liked:
    content: Content
    item: int


def reasons(
    artefact: Artefact, catalogue: Catalogue, history: History, items: Indices, told: Mapping[int, str]
) -> list[str]:  # items: (K,) -> K sentences
    """One reason an item: the recent content that it resembles most, else its popularity, else the taste at large.

    Args:
        items: 0 for a content that the model does not know.
        told: what editors or the model said already of some, by place in `items`.
    """
    liked = liked_recently(artefact, catalogue, history)
    nearest = _nearest(artefact, [one.item for one in liked], items)
    sentences = []
    for place, (item, source) in enumerate(zip(items.tolist(), nearest, strict=True)):
        if place in told:
            sentences.append(told[place])
        elif source is not None:
            sentences.append(because_of(liked[source].content))
        elif artefact.content_ids[item - 1] in catalogue.popular_ids:
            sentences.append(POPULAR)
        elif history.content_ids:
            sentences.append("fits what you have been watching")
        else:
            sentences.append("popular with people like you")
    return sentences


def because_of(content: Content) -> str:
    return f"because you {_VERBS.get(content.content_type, 'enjoyed')} {content.title}"


def liked_recently(artefact: Artefact, catalogue: Catalogue, history: History) -> list[_Liked]:
    """What was consumed last and not abandoned, newest first, each once."""
    found: dict[str, _Liked] = {}
    pairs = list(zip(history.content_ids, history.watched_fractions, strict=True))
    for content_id, watched_fraction in reversed(pairs[-_CONSIDERED_RECENT:]):
        content, item = catalogue.by_id.get(content_id), artefact.item_of.get(content_id)
        if content is not None and item is not None and watched_fraction >= _MIN_WATCHED_FRACTION:
            found.setdefault(content_id, _Liked(content, item))
    return list(found.values())


def _nearest(artefact: Artefact, liked: list[int], items: Indices) -> list[int | None]:
    """For each item the place in `liked` of the content that it resembles most; None where nothing is alike."""
    if not liked:
        return [None] * len(items)
    neighbours = np.stack([artefact.neighbours.similarity(item, items) for item in liked])  # (liked, K)
    cosines = _cosines(artefact.embeddings[liked], artefact.embeddings[items])  # (liked, K)
    by_neighbours, by_cosine = neighbours.argmax(axis=0), cosines.argmax(axis=0)
    return [
        int(by_neighbours[k])
        if neighbours[by_neighbours[k], k] > 0
        else int(by_cosine[k])
        if cosines[by_cosine[k], k] >= _MIN_COSINE
        else None
        for k in range(len(items))
    ]


def _cosines(left: Floats, right: Floats) -> Floats:  # (A, D), (B, D) -> (A, B)
    norms = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)[None, :]
    cosines: Floats = (left @ right.T) / np.maximum(norms, 1e-9)
    return cosines
