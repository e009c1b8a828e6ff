"""Quality by segment, on lists whose figures can be said beforehand."""

import numpy as np
import pandas as pd
import pytest

from training.segments import ATTRIBUTES, SegmentRow, Segments, measure_segments

_SIZE = 40
_LEAST = 30


def _measured() -> Segments:
    """Women find their content on top, men never; ten of them are students, of whom there are too few to judge."""
    people = [f"s{number}" for number in range(2 * _SIZE)]
    is_woman = np.arange(2 * _SIZE) < _SIZE
    lists = pd.concat(
        pd.DataFrame(
            {
                "protocol": protocol,
                "model": model,
                "subscriber_id": people,
                "content_id": np.where(is_woman, ours, "other"),
                "rank": 1,
                "score": 1.0,
            }
        )
        # what another split says counts for nothing
        for protocol, model, ours in (
            ("loo", "marquee", "wanted"),
            ("loo", "item_knn", "other"),
            ("temporal", "marquee", ""),
        )
    )
    relevant = pd.DataFrame(
        {"protocol": "loo", "subscriber_id": people, "content_id": np.where(is_woman, "wanted", "x")}
    )
    seen = pd.DataFrame(
        {
            "protocol": "loo",
            "subscriber_id": [people[0]] * 60 + people[1:],
            "content_id": [f"c{number}" for number in range(60)] + ["wanted"] * (2 * _SIZE - 1),
        }
    )
    subscribers = pd.DataFrame({"subscriber_id": people, "is_simulated": True, **dict.fromkeys(ATTRIBUTES, "unknown")})
    subscribers["gender"] = np.where(is_woman, "female", "male")
    subscribers.loc[:9, "occupation"] = "student"
    # one whom the warehouse has forgotten since
    return measure_segments(lists, relevant, seen, subscribers.iloc[:-1], _LEAST)


def _row(found: Segments, dimension: str, segment: str) -> SegmentRow:
    (row,) = (row for row in found.rows if (row.dimension, row.segment) == (dimension, segment))
    return row


def test_each_segment_has_its_own_mean_with_its_interval_and_the_baselines_beside_it() -> None:
    found = _measured()
    assert _row(found, "gender", "female") == SegmentRow("gender", "female", _SIZE, 1.0, 1.0, 1.0, 0.0)
    assert _row(found, "gender", "male") == SegmentRow("gender", "male", _SIZE - 1, 0.0, 0.0, 0.0, 0.0)
    everybody = _row(found, "region", "unknown")
    assert everybody.subscriber_count == 2 * _SIZE
    assert everybody.value == pytest.approx(0.5)
    assert everybody.low is not None
    assert everybody.high is not None
    assert everybody.low < 0.5 < everybody.high
    assert found.ratios["gender"][0] == 0.0
    assert found.missed_share == 0.5


def test_a_small_segment_is_counted_and_not_measured() -> None:
    students = _row(_measured(), "occupation", "student")
    assert students == SegmentRow("occupation", "student", 10, None, None, None, None)
    assert all((row.value is None) == (row.subscriber_count < _LEAST) for row in _measured().rows)


def test_subscribers_are_told_apart_by_their_history_and_by_how_popular_the_next_content_was() -> None:
    found = _measured()
    assert _row(found, "interactions before", "50 to 199").subscriber_count == 1
    assert _row(found, "interactions before", "fewer than 20").subscriber_count == 2 * _SIZE - 1
    # `wanted` is the most consumed of all; `x` was never consumed before
    assert _row(found, "popularity of what came next", "most consumed tenth").value == 1.0
    assert _row(found, "popularity of what came next", "rest of the catalogue").value == 0.0
