"""Logged impressions as lists that teach the re-ranker: what was shown, what was started of it, what a start weighs.

In: rows of `activation.impressions` and the interactions of a split. Out: lists as shown, with the weight of each
start. Low in a list little is looked at, so that few starts there say much: each is weighted by one over the chance
that its place was looked at, clipped (Joachims et al. 2017, "Unbiased Learning-to-Rank with Biased Feedback"; clipping
as in Ionides 2008, "Truncated Importance Sampling"). The chance is the discount of DCG to a declared power; no
experiment has measured it.

Legend: E lists, P places, M interactions.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import numpy as np
import pandas as pd
from psycopg import Connection
from psycopg.rows import DictRow

from feature_repo.tower_inputs import NO_DEVICE
from training.dataset import DAY, Contents, Split
from training.histories import Floats, Ints
from training.ranker_config import RankerConfig

# a start counts for the newest list of the day before it that had the content
_HORIZON = DAY
# older lists are a longer way from what is shown now, and there is no end of them
_KEPT_DAYS = 90
_COLUMNS = ["request_id", "surface", "subscriber_id", "shown_at", "content_ids"]


@dataclass(frozen=True)
class ShownLists:
    """E lists that were shown, each with a start.

    Attributes:
        split: who was shown each list and when; `relevant` is what was started of it.
        items: (E, P) item numbers by place, 0 where nothing was that may teach.
        weights: (E, P) of each start, 0 where none was; 1 on average over the lists.
    """

    split: Split
    items: Ints
    weights: Floats

    @classmethod
    def none(cls, split: Split) -> Self:
        """No lists beside `split`."""
        nobody = np.zeros(0, dtype=np.int64)
        nowhere = np.zeros(0, dtype=np.int8)
        empty = np.zeros((0, 1), dtype=np.int64)
        return cls(Split("impressions", split.train, nobody, nobody, nowhere, []), empty, empty.astype(np.float32))


def read_impressions(connection: Connection[DictRow], now: datetime) -> pd.DataFrame:
    """Personal lists of the 90 days whose starts were over at `now`, of who permits personalization, oldest first.

    # request_id, surface, subscriber_id, shown_at, content_ids
    """
    rows = connection.execute(
        "select request_id::text, surface, present.subscriber_id, shown_at, content_ids "
        "from activation.impressions "
        "cross join lateral (select activation.present_id(impressions.subscriber_id) as subscriber_id) as present "
        "inner join marts.dim_subscribers on dim_subscribers.subscriber_id = present.subscriber_id "
        "where not is_fallback and has_personalization_consent and shown_at <= %s and shown_at > %s "
        "order by shown_at, impression_id",
        (now - timedelta(microseconds=_HORIZON / 1_000), now - timedelta(days=_KEPT_DAYS)),
    ).fetchall()
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    return frame.astype({"shown_at": "datetime64[us, UTC]"})


def examination(places: Ints, power: float) -> Floats:
    """The chance that a place (1 is the first) is looked at: (1 / log2(1 + place)) ** power."""
    chances: Floats = (1.0 / np.log2(1.0 + places)) ** power
    return chances.astype(np.float32)


def shown_lists(
    impressions: pd.DataFrame, split: Split, inner: Split, contents: Contents, config: RankerConfig
) -> ShownLists:
    """Lists that the retriever of `inner` has not learnt from, whose day ends before what `split` holds back.

    A list teaches where all that its subscriber did after it is new to the retriever, and a start where it came within
    a day, as the subscriber's first of that content. Of fewer than `least_impressions` such lists none teaches.
    """
    number = {subscriber_id: user for user, subscriber_id in enumerate(split.train.subscriber_ids)}
    item_of = dict(zip(contents.content_ids, range(1, len(contents.content_ids) + 1), strict=True))
    # up to when each subscriber's doings may be known
    ends = np.full(len(number), split.train.moments.max(initial=0) + 1)
    ends[split.users] = split.cuts
    learnt, known = inner.train.histories(), split.train.histories()
    rows: list[tuple[int, int, list[int], set[int]]] = []
    frame = impressions[impressions["subscriber_id"].isin(number)]
    moments = frame["shown_at"].dt.as_unit("ns").astype("int64")
    for subscriber_id, lists in frame.assign(moment=moments).groupby("subscriber_id", sort=True):
        user = number[str(subscriber_id)]
        own = slice(known.bounds[user], known.bounds[user + 1])
        done, when = known.items[own], known.moments[own]
        begins = learnt.moments[learnt.bounds[user] : learnt.bounds[user + 1]].max(initial=-1)
        if begins < 0:
            continue
        # the newest list takes a start first
        taken: set[int] = set()
        for moment, content_ids in zip(lists["moment"][::-1], lists["content_ids"][::-1], strict=True):
            if moment <= begins or moment + _HORIZON > ends[user]:
                continue
            before = set(done[when < moment].tolist())
            after = set(done[(when >= moment) & (when < moment + _HORIZON)].tolist()) - before - taken
            places = [item_of.get(content_id, 0) for content_id in content_ids]
            places = [item if item and contents.is_real[item] and item not in before else 0 for item in places]
            started = after.intersection(places)
            taken |= started
            if started and np.count_nonzero(places) > 1:
                rows.append((user, int(moment), places, started))
    if len(rows) < config.least_impressions:
        return ShownLists.none(split)
    rows = sorted(rows, key=lambda row: row[1])[-config.most_impressions :]
    items = np.zeros((len(rows), max(len(places) for _, _, places, _ in rows)), dtype=np.int64)
    for row, (_, _, places, _) in enumerate(rows):
        items[row, : len(places)] = places
    relevant = [np.array(sorted(started), dtype=np.int64) for *_, started in rows]
    users, cuts = (np.array(column, dtype=np.int64) for column in list(zip(*rows, strict=True))[:2])
    # an impression does not say on what it was shown
    nowhere = np.full(len(users), NO_DEVICE, dtype=np.int8)
    return ShownLists(
        Split("impressions", split.train, users, cuts, nowhere, relevant), items, weights_of(items, relevant, config)
    )


def weights_of(items: Ints, started: list[Ints], config: RankerConfig) -> Floats:
    """One over the chance that each start's place was looked at, clipped; 1 on average over lists.

    # (E, P), E arrays -> (E, P)
    """
    is_start = np.stack([np.isin(listed, found) for listed, found in zip(items, started, strict=True)]) & (items > 0)
    chances = examination(np.arange(1, items.shape[1] + 1), config.examination_power)
    weights = np.where(is_start, np.minimum(1.0 / chances, config.most_weight), 0.0)
    scaled: Floats = (weights * len(items) / max(float(weights.sum()), 1e-9)).astype(np.float32)
    return scaled
