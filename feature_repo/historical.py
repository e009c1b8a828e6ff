"""Features as they were: Feast's point-in-time join, for training and evaluation.

A label at moment t sees what was known a microsecond before t, so that never the label itself.
"""

from collections.abc import Sequence

import pandas as pd
from feast import FeatureStore

from feature_repo.columns import SubscriberFeatures

_ACTIVITY = ("interaction_count_7d", "interaction_count", "mean_watched_fraction_28d", "genre_affinity")
_POPULARITY = (
    "interaction_count_1d",
    "interaction_count_7d",
    "interaction_count_28d",
    "interaction_count",
    "mean_watched_fraction",
    "days_since_published",
)
_JUST_BEFORE = pd.Timedelta(microseconds=1)


def subscribers_before(
    store: FeatureStore, subscriber_ids: Sequence[str], moments: pd.DatetimeIndex
) -> list[SubscriberFeatures]:
    """Activity of each subscriber just before each moment, in the order given."""
    frame = _joined(
        store, "subscriber_id", subscriber_ids, moments, [f"ftr_subscriber__activity:{n}" for n in _ACTIVITY]
    )
    return [
        SubscriberFeatures(
            interaction_count_7d=0.0 if pd.isna(week) else float(week),
            interaction_count=0.0 if pd.isna(ever) else float(ever),
            mean_watched_fraction_28d=0.5 if pd.isna(fraction) else float(fraction),
            genre_affinity=() if affinity is None or isinstance(affinity, float) else tuple(affinity),
        )
        for week, ever, fraction, affinity in zip(*(frame[name] for name in _ACTIVITY), strict=True)
    ]


def popularity_before(store: FeatureStore, content_ids: Sequence[str], moments: pd.DatetimeIndex) -> pd.DataFrame:
    """Popularity of each content just before each moment, in the order given, columns under their full names.

    The rows of this view begin to hold at midnight (UTC), so that the moment may be taken back to its midnight: the
    same values, and many labels share one row of the join.
    """
    days = (moments - _JUST_BEFORE).floor("D") + _JUST_BEFORE
    frame = _joined(store, "content_id", content_ids, days, [f"ftr_content__popularity:{n}" for n in _POPULARITY])
    return frame.rename(columns={name: f"ftr_content__popularity__{name}" for name in _POPULARITY})


def _joined(
    store: FeatureStore, key: str, values: Sequence[str], moments: pd.DatetimeIndex, features: list[str]
) -> pd.DataFrame:
    asked = pd.DataFrame({key: list(values), "event_timestamp": (moments - _JUST_BEFORE).as_unit("us")})
    unique = asked.drop_duplicates()
    known = store.get_historical_features(entity_df=unique, features=features).to_df()
    known["event_timestamp"] = pd.to_datetime(known["event_timestamp"], utc=True).astype("datetime64[us, UTC]")
    return asked.merge(known, on=[key, "event_timestamp"], how="left")
