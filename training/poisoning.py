"""What must not teach a model: doubled events, plays at a rate no person has, one subscriber's flood, accounts in step.

In: the interactions of a training set and the limits. Out: what is kept, and what is set aside with the reason; the
features that a kept set would have had.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from feature_repo.columns import ContentFeatures, SubscriberFeatures
from training import dataset
from training.dataset import DAY, HOUR, Split
from training.histories import Ints
from training.ranking_features import LoggedFeatures, RankingFeatures
from training.thresholds import BatchThresholds

# in the order in which they are looked for: what one has taken away is not counted by the next
REASONS = {
    "duplicate": "the same subscriber, content and moment",
    "rate": "faster than a person consumes",
    "repeats": "the same content again and again in a day",
    "flood": "more of one subscriber than may count",
    "in_step": "accounts that do the same in the same order",
}


@dataclass(frozen=True)
class Sifted:
    """Both sides of a training set; `aside` has the columns of `kept` and `reason`, one of `REASONS`."""

    kept: pd.DataFrame
    aside: pd.DataFrame


def sift(interactions: pd.DataFrame, limits: BatchThresholds) -> Sifted:
    """Set aside what breaks a limit.

    Args:
        interactions: subscriber_id, content_id, occurred_at (UTC) and whatever else; in the order of time.
    """
    if interactions.empty:
        return Sifted(interactions, interactions.assign(reason=""))
    kept = interactions
    aside = []
    for reason, is_bad_of in (
        ("duplicate", _is_duplicate),
        ("rate", lambda frame: _is_too_fast(frame, limits.plays_an_hour, HOUR)),
        ("rate", lambda frame: _is_too_fast(frame, limits.plays_a_day, DAY)),
        ("repeats", lambda frame: _is_repeated(frame, limits.plays_of_one_content_a_day)),
        ("flood", lambda frame: _is_beyond(frame, limits.plays_of_one_subscriber)),
        ("in_step", lambda frame: _is_in_step(frame, limits.accounts_in_step, limits.contents_in_step)),
    ):
        is_bad = is_bad_of(kept).to_numpy(dtype=bool)
        aside.append(kept[is_bad].assign(reason=reason))
        # most logs break no limit, and a copy of a large one is large
        kept = kept[~is_bad] if is_bad.any() else kept
    return Sifted(kept.reset_index(drop=True), pd.concat(aside, ignore_index=True))


@dataclass(frozen=True)
class CleanedFeatures:
    """Ranking features as they would be, had the store never counted what was set aside.

    Contents lose what was set aside from their counts; subscribers of whom something was set aside are counted anew.
    How much of a content was watched on average stays as the store has it.
    """

    stored: RankingFeatures
    kept: LoggedFeatures
    aside: LoggedFeatures
    # number in the kept log of each subscriber of whom something was set aside; -1 of whom nothing is left
    doubted: dict[str, int]

    @classmethod
    def of(cls, stored: RankingFeatures, sifted: Sifted, contents: pd.DataFrame) -> RankingFeatures:
        """`stored` itself where nothing was set aside."""
        if sifted.aside.empty:
            return stored
        kept, catalogue = dataset.read_frames(sifted.kept, contents)
        aside, _ = dataset.read_frames(sifted.aside.sort_values("occurred_at", kind="stable"), contents)
        number = {subscriber_id: user for user, subscriber_id in enumerate(kept.subscriber_ids)}
        return cls(
            stored,
            LoggedFeatures(kept, catalogue),
            LoggedFeatures(aside, catalogue),
            {subscriber_id: number.get(subscriber_id, -1) for subscriber_id in aside.subscriber_ids},
        )

    def subscribers(self, split: Split) -> list[SubscriberFeatures]:
        """See `RankingFeatures`."""
        found = self.stored.subscribers(split)
        ids = [split.train.subscriber_ids[user] for user in split.users]
        rows = [row for row, subscriber_id in enumerate(ids) if subscriber_id in self.doubted]
        numbers = np.array([self.doubted[ids[row]] for row in rows], dtype=np.int64)
        counted = self.kept.subscribers(
            replace(split, users=numbers, cuts=split.cuts[rows], devices=split.devices[rows])
        )
        for row, features in zip(rows, counted, strict=True):
            found[row] = features
        return found

    def candidates(self, split: Split, candidates: Ints) -> ContentFeatures:
        """See `RankingFeatures`."""
        found = self.stored.candidates(split, candidates)
        too_many = self.aside.candidates(split, candidates).counts
        return replace(found, counts=np.maximum(found.counts - too_many, 0.0))


def _is_duplicate(frame: pd.DataFrame) -> pd.Series:
    return frame.duplicated(["subscriber_id", "content_id", "occurred_at"])


def _is_too_fast(frame: pd.DataFrame, most: int, window: int) -> pd.Series:
    """Whether any `window` (nanoseconds) with the play in it, wherever it begins, has over `most` of the subscriber."""
    users = pd.factorize(frame["subscriber_id"])[0]
    moments = frame["occurred_at"].dt.as_unit("ns").astype("int64").to_numpy()
    order = np.lexsort((moments, users))
    users, moments = users[order], moments[order]
    # a run of one more than may be, within less than the window, begins here
    begins = (users[most:] == users[:-most]) & (moments[most:] - moments[:-most] < window)
    changes = np.zeros(len(frame) + 1, dtype=np.int64)
    changes[: len(begins)] += begins
    changes[most + 1 :] -= begins[: len(frame) - most]
    is_bad = np.empty(len(frame), dtype=bool)
    is_bad[order] = np.cumsum(changes[:-1]) > 0
    return pd.Series(is_bad, index=frame.index)


def _is_repeated(frame: pd.DataFrame, most: int) -> pd.Series:
    day = frame["occurred_at"].dt.floor("D")
    return frame.groupby(["subscriber_id", "content_id", day], observed=True).cumcount() >= most


def _is_beyond(frame: pd.DataFrame, most: int) -> pd.Series:
    return frame.groupby("subscriber_id", observed=True).cumcount(ascending=False) >= most


def _is_in_step(frame: pd.DataFrame, accounts: int, contents: int) -> pd.Series:
    users, items = (pd.factorize(frame[name])[0].astype(np.int32) for name in ("subscriber_id", "content_id"))
    order = np.argsort(users, kind="stable")
    bounds = np.searchsorted(users[order], np.arange(users.max(initial=-1) + 2))
    by_path: dict[bytes, list[int]] = {}
    for user in np.flatnonzero(np.diff(bounds) >= contents).tolist():
        # one number of a path, instead of a path
        path = hashlib.sha256(items[order[bounds[user] : bounds[user + 1]]].tobytes()).digest()
        by_path.setdefault(path, []).append(user)
    alike = [user for together in by_path.values() if len(together) >= accounts for user in together]
    return pd.Series(np.isin(users, alike), index=frame.index)
