"""What Feast knows: entities, feature views over the dbt feature tables, and a service for each reader.

The tables and the meaning of their columns are dbt's (models/features); nothing is computed here.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, PushSource, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Array, Bool, Float64, Int64, String

SUBSCRIBER = Entity(name="subscriber", join_keys=["subscriber_id"], value_type=ValueType.STRING)
CONTENT = Entity(name="content", join_keys=["content_id"], value_type=ValueType.STRING)

# a value holds until a newer one: the last row of a subscriber who comes back after a year is still the truth
_NO_EXPIRY = timedelta(0)


def _table(name: str) -> PostgreSQLSource:
    return PostgreSQLSource(
        name=name,
        table=f"features.{name}",
        timestamp_field="event_timestamp",
        created_timestamp_column="created_at",
    )


SEQUENCE = FeatureView(
    name="ftr_subscriber__sequence",
    entities=[SUBSCRIBER],
    ttl=_NO_EXPIRY,
    schema=[
        Field(name="recent_content_ids", dtype=Array(String)),
        Field(name="recent_watched_fractions", dtype=Array(Float64)),
        Field(name="recent_consumed_seconds", dtype=Array(Int64)),
    ],
    # live events are pushed to the online store through this source; batch rows come from the table
    source=PushSource(name="subscriber_events", batch_source=_table("ftr_subscriber__sequence")),
)
ACTIVITY = FeatureView(
    name="ftr_subscriber__activity",
    entities=[SUBSCRIBER],
    ttl=_NO_EXPIRY,
    schema=[
        Field(name="interaction_count_7d", dtype=Int64),
        Field(name="interaction_count_28d", dtype=Int64),
        Field(name="interaction_count", dtype=Int64),
        Field(name="mean_watched_fraction_28d", dtype=Float64),
        Field(name="distinct_genre_count_28d", dtype=Int64),
        Field(name="top_genre", dtype=String),
        Field(name="genre_affinity", dtype=Array(Float64)),
        Field(name="last_device_type", dtype=String),
    ],
    source=_table("ftr_subscriber__activity"),
)
PROFILE = FeatureView(
    name="ftr_subscriber__profile",
    entities=[SUBSCRIBER],
    ttl=_NO_EXPIRY,
    schema=[
        Field(name="age_band", dtype=String),
        Field(name="gender", dtype=String),
        Field(name="occupation", dtype=String),
        Field(name="plan", dtype=String),
        Field(name="region", dtype=String),
        Field(name="lifecycle_stage", dtype=String),
        Field(name="has_personalization_consent", dtype=Bool),
    ],
    source=_table("ftr_subscriber__profile"),
)
POPULARITY = FeatureView(
    name="ftr_content__popularity",
    entities=[CONTENT],
    # dbt writes a row at least every 28 days: the join need not look back over the whole history
    ttl=timedelta(days=29),
    schema=[
        Field(name="interaction_count_1d", dtype=Int64),
        Field(name="interaction_count_7d", dtype=Int64),
        Field(name="interaction_count_28d", dtype=Int64),
        Field(name="interaction_count", dtype=Int64),
        Field(name="mean_watched_fraction", dtype=Float64),
        Field(name="days_since_published", dtype=Float64),
    ],
    source=_table("ftr_content__popularity"),
)
CONTENT_PROFILE = FeatureView(
    name="ftr_content__profile",
    entities=[CONTENT],
    ttl=_NO_EXPIRY,
    schema=[
        Field(name="content_type", dtype=String),
        Field(name="genre_vector", dtype=Array(Float64)),
        Field(name="release_year", dtype=Int64),
        Field(name="duration_minutes", dtype=Int64),
    ],
    source=_table("ftr_content__profile"),
)

RETRIEVAL_V1 = FeatureService(name="retrieval_v1", features=[SEQUENCE, PROFILE])
RANKING_V1 = FeatureService(name="ranking_v1", features=[ACTIVITY, POPULARITY, CONTENT_PROFILE])

VIEWS = (SEQUENCE, ACTIVITY, PROFILE, POPULARITY, CONTENT_PROFILE)
DEFINITIONS = (SUBSCRIBER, CONTENT, *VIEWS, RETRIEVAL_V1, RANKING_V1)
