"""Features of one request: read through Feast from the online store, by the services that training reads.

Raises whatever the store raises: the caller has a fallback.
"""

from collections.abc import Sequence

import pandas as pd
from feast import FeatureStore

from feature_repo.columns import ContentFeatures, SubscriberFeatures, content_features
from feature_repo.profile_codes import PROFILE_COLUMNS

# the order of genre vectors is dbt's variable `genres`
GENRE_COUNT = 18


def read_subscriber(store: FeatureStore, subscriber_id: str) -> SubscriberFeatures:
    """Sequence, profile and activity of one subscriber; defaults where the store has nothing."""
    features = [
        "ftr_subscriber__sequence:recent_content_ids",
        "ftr_subscriber__sequence:recent_watched_fractions",
        "ftr_subscriber__sequence:recent_consumed_seconds",
        "ftr_subscriber__profile:has_personalization_consent",
        *(f"ftr_subscriber__profile:{name}" for name in PROFILE_COLUMNS),
        "ftr_subscriber__activity:interaction_count_7d",
        "ftr_subscriber__activity:interaction_count",
        "ftr_subscriber__activity:mean_watched_fraction_28d",
        "ftr_subscriber__activity:genre_affinity",
    ]
    answer = store.get_online_features(
        features=features, entity_rows=[{"subscriber_id": subscriber_id}], full_feature_names=False
    ).to_dict()
    values = {name: column[0] for name, column in answer.items()}
    return SubscriberFeatures(
        recent_content_ids=tuple(values["recent_content_ids"] or ()),
        recent_watched_fractions=tuple(values["recent_watched_fractions"] or ()),
        recent_consumed_seconds=tuple(values["recent_consumed_seconds"] or ()),
        has_personalization_consent=bool(values["has_personalization_consent"]),
        interaction_count_7d=float(values["interaction_count_7d"] or 0),
        interaction_count=float(values["interaction_count"] or 0),
        mean_watched_fraction_28d=_number(values["mean_watched_fraction_28d"], 0.5),
        genre_affinity=tuple(values["genre_affinity"] or ()),
        profile={name: values[name] for name in PROFILE_COLUMNS},
    )


def read_contents(store: FeatureStore, content_ids: Sequence[str]) -> ContentFeatures:
    """Popularity and profile of contents, in the order asked for."""
    answer = store.get_online_features(
        features=[
            *(f"ftr_content__popularity:{name}" for name in _POPULARITY_FEATURES),
            "ftr_content__profile:content_type",
            "ftr_content__profile:genre_vector",
        ],
        entity_rows=[{"content_id": content_id} for content_id in content_ids],
        full_feature_names=True,
    ).to_dict()
    return content_features(pd.DataFrame(answer), GENRE_COUNT)


_POPULARITY_FEATURES = (
    "interaction_count_1d",
    "interaction_count_7d",
    "interaction_count_28d",
    "interaction_count",
    "mean_watched_fraction",
    "days_since_published",
)


def _number(value: float | None, missing: float) -> float:
    return missing if value is None else float(value)
