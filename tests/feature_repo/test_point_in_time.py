"""Training and requests see the same values, and a label sees nothing of its own moment or later."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from feast import FeatureStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow

from feature_repo import definitions, historical
from feature_repo.columns import content_features
from feature_repo.materialization import materialize
from feature_repo.online import GENRE_COUNT, read_contents, read_subscriber
from feature_repo.ranking_inputs import NAMES, Context, ranking_inputs
from marquee.settings import Settings
from tests.activation.serving import world

LATER = datetime(2026, 6, 1, tzinfo=UTC)
_names = itertools.count()
_real_database = settings(
    max_examples=6, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# moments down to the microsecond, close together, so that ties and neighbours happen
moments = st.integers(0, 40).map(lambda step: world.NOW + timedelta(seconds=step // 4, microseconds=step % 4))
activity_rows = st.lists(
    st.tuples(
        moments,
        st.integers(0, 2**40),
        st.one_of(st.none(), st.floats(0, 1)),
        st.lists(st.floats(0, 1), min_size=GENRE_COUNT, max_size=GENRE_COUNT),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda row: row[0],
)


def add_activity(connection: Connection[DictRow], subscriber_id: str, rows: Sequence[tuple]) -> None:
    connection.cursor().executemany(
        "insert into features.ftr_subscriber__activity (subscriber_id, event_timestamp, created_at, interaction_count, "
        "interaction_count_7d, mean_watched_fraction_28d, genre_affinity) values (%s, %s, %s, %s, %s, %s, %s)",
        [(subscriber_id, moment, world.NOW, count, count, mean, genres) for moment, count, mean, genres in rows],
    )


@given(st.lists(activity_rows, min_size=1, max_size=6))
@_real_database
def test_online_values_equal_the_values_of_history(
    house: Settings, house_db: Connection[DictRow], store: FeatureStore, people: list[list[tuple]]
) -> None:
    names = [f"p{next(_names)}" for _ in people]
    for name, rows in zip(names, people, strict=True):
        add_activity(house_db, name, rows)
    materialize("property", LATER, house)
    offline = historical.subscribers_before(store, names, pd.DatetimeIndex([LATER] * len(names)))
    for name, expected in zip(names, offline, strict=True):
        online = read_subscriber(store, name)
        assert online.interaction_count == expected.interaction_count
        assert online.interaction_count_7d == expected.interaction_count_7d
        assert online.mean_watched_fraction_28d == expected.mean_watched_fraction_28d
        assert online.genre_affinity == expected.genre_affinity


def test_every_feature_of_every_service_is_the_same_online_and_in_history(store: FeatureStore) -> None:
    for view in definitions.VIEWS:
        key = view.entity_columns[0].name
        values = [world.DRAMA_LOVER, world.COMEDY_LOVER] if key == "subscriber_id" else ["c01", "c38", "c40"]
        features = [f"{view.name}:{field.name}" for field in view.features]
        offline = store.get_historical_features(
            entity_df=pd.DataFrame({key: values, "event_timestamp": [world.NOW + timedelta(days=1)] * len(values)}),
            features=features,
        ).to_df().set_index(key)  # fmt: skip
        online = store.get_online_features(
            features=features, entity_rows=[{key: value} for value in values]
        ).to_df().set_index(key)  # fmt: skip
        for name in (field.name for field in view.features):
            for value in values:
                assert_same(online.loc[value, name], offline.loc[value, name], f"{view.name}.{name} of {value}")


def assert_same(online: object, offline: object, what: str) -> None:
    if isinstance(offline, list | np.ndarray):
        assert list(online) == list(offline), what  # type: ignore[call-overload]
    else:
        assert online == offline, what


def test_the_ranker_sees_one_matrix_in_training_and_in_a_request(store: FeatureStore) -> None:
    names = ["c40", "c02", "c39", "c17"]
    tomorrow = pd.DatetimeIndex([world.NOW + timedelta(days=1)])
    (subscriber,) = historical.subscribers_before(store, [world.DRAMA_LOVER], tomorrow)
    popularity = historical.popularity_before(store, names, tomorrow.repeat(len(names)))
    profile = store.get_historical_features(
        entity_df=pd.DataFrame({"content_id": names, "event_timestamp": [tomorrow[0]] * len(names)}),
        features=["ftr_content__profile:content_type", "ftr_content__profile:genre_vector"],
        full_feature_names=True,
    ).to_df().set_index("content_id").loc[names].reset_index(drop=True).drop(columns="event_timestamp")  # fmt: skip
    then = content_features(pd.concat([popularity, profile], axis=1), GENRE_COUNT)
    scores = np.array([[0.3, -0.1, 0.9, 0.2], [1, 0, 0, 2], [0.1, 0.4, -0.3, 0]], dtype=np.float32)
    context = Context(0, np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.float32))
    in_training = ranking_inputs(subscriber, then, *scores, context)
    online = read_subscriber(store, world.DRAMA_LOVER), read_contents(store, names)
    in_a_request = ranking_inputs(*online, *scores, context)
    np.testing.assert_array_equal(in_a_request, in_training)
    # not equal by being empty: both hold counts, genres and types
    for name in ("popularity", "genre_match", "is_video", "is_podcast", "subscriber_activity"):
        assert in_training[:, NAMES.index(name)].any(), name


@given(activity_rows, st.lists(moments, min_size=1, max_size=6, unique=True))
@_real_database
def test_a_label_sees_the_last_row_before_its_moment(
    house_db: Connection[DictRow], store: FeatureStore, rows: list[tuple], labels: list[datetime]
) -> None:
    name = f"p{next(_names)}"
    add_activity(house_db, name, rows)
    found = historical.subscribers_before(store, [name] * len(labels), pd.DatetimeIndex(labels))
    for label, features in zip(labels, found, strict=True):
        before = [row for row in sorted(rows) if row[0] < label]
        assert features.interaction_count == (float(before[-1][1]) if before else 0.0)


def leaks(store: FeatureStore, subscriber_id: str, label: datetime) -> bool:
    """Whether the count that was planted at the label's own moment reaches the label."""
    (features,) = historical.subscribers_before(store, [subscriber_id], pd.DatetimeIndex([label]))
    return features.interaction_count == 999


def test_a_leak_planted_at_the_label_s_own_moment_does_not_reach_it(
    store: FeatureStore, house_db: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    label = world.NOW + timedelta(minutes=5)
    add_activity(house_db, world.DRAMA_LOVER, [(label, 999, 1.0, [1.0] * GENRE_COUNT)])
    assert not leaks(store, world.DRAMA_LOVER, label)
    assert leaks(store, world.DRAMA_LOVER, label + timedelta(microseconds=1)), "the next moment may know it"
    # a join that takes the label's own moment in is what this test is there to catch
    monkeypatch.setattr(historical, "_JUST_BEFORE", pd.Timedelta(0))
    assert leaks(store, world.DRAMA_LOVER, label)


@pytest.mark.parametrize("hour", [0, 9, 23])
def test_popularity_of_the_label_s_own_day_does_not_reach_it(
    store: FeatureStore, house_db: Connection[DictRow], hour: int
) -> None:
    midnight = datetime(2026, 3, 10, tzinfo=UTC)
    for day, count in ((-1, 7), (0, 8), (1, 9)):
        house_db.execute(
            "insert into features.ftr_content__popularity (content_id, event_timestamp, created_at, interaction_count) "
            "values ('c01', %s, %s, %s)",
            (midnight + timedelta(days=day), world.NOW, count),
        )
    label = pd.DatetimeIndex([midnight + timedelta(hours=hour)])
    (count,) = historical.popularity_before(store, ["c01"], label)["ftr_content__popularity__interaction_count"]
    assert count == (8 if hour else 7), "what ended at midnight is known from the moment after midnight on"
