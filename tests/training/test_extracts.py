"""The extract of interactions: the warehouse's rows with a number an id, and the same again from the file."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from marquee import database
from marquee.settings import Settings
from tests.training.marts import make_interactions
from training import dataset, extracts
from training.dataset import CatalogueError

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
# interaction, subscriber, content, minutes before now, share watched, device, consent
_ROWS = [
    ("i2", "s-b", "c-2", 5, None, "connected_tv", True),
    ("i1", "s-a", "c-1", 5, 0.25, None, True),
    ("i3", "s-c", "c-3", 4, 0.5, "mobile", False),
    ("i4", "s-b", "c-1", 9, 1.0, "web", True),
    ("i5", "s-a", "c-2", -1, 0.5, "web", True),
    ("i6", "s-d", "c-4", 0, 0.75, "web", True),
]


@pytest.fixture
def frame(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    monkeypatch.setattr(extracts, "_BATCH_ROWS", 3)
    with database.connect(settings) as connection:
        make_interactions(connection)
        connection.cursor().executemany(
            "insert into marts.fct_interactions values (%s, %s, %s, %s, %s, %s, %s, false)",
            [(*row[:3], NOW - timedelta(minutes=row[3]), *row[4:]) for row in _ROWS],
        )
        return extracts.read_warehouse(connection, NOW)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({"subscriber_id": object, "content_id": object, "device_type": object})


def test_rows_with_consent_come_in_time_with_a_number_an_id(frame: pd.DataFrame) -> None:
    expected = pd.DataFrame(
        {
            "subscriber_id": ["s-b", "s-a", "s-b", "s-d"],
            "content_id": ["c-1", "c-1", "c-2", "c-4"],
            "occurred_at": pd.Series([NOW - timedelta(minutes=n) for n in (9, 5, 5, 0)], dtype="datetime64[ns, UTC]"),
            "watched_fraction": [1.0, 0.25, None, 0.75],
            "device_type": ["web", np.nan, "connected_tv", "web"],
            "is_simulated": False,
        }
    )
    pd.testing.assert_frame_equal(_plain(frame), expected)
    assert sorted(frame["subscriber_id"].cat.categories) == ["s-a", "s-b", "s-d"]
    # what a version's name is made from
    np.testing.assert_array_equal(
        pd.util.hash_pandas_object(frame, index=False), pd.util.hash_pandas_object(expected, index=False)
    )


def test_a_file_gives_the_rows_back_with_the_ids_that_are_there(frame: pd.DataFrame, tmp_path: Path) -> None:
    some = frame[frame["subscriber_id"] != "s-b"].reset_index(drop=True)
    for number, written in enumerate((frame, some, some[:0], _plain(some))):
        path = tmp_path / f"{number}.parquet"
        written.to_parquet(path, index=False)
        read = extracts.read(path)
        pd.testing.assert_frame_equal(_plain(read), _plain(written))
        assert sorted(read["subscriber_id"].cat.categories) == sorted(set(written["subscriber_id"]))


def test_columns_are_the_same_whether_ids_are_numbers_or_texts(frame: pd.DataFrame) -> None:
    contents = pd.DataFrame(
        {"content_id": ["c-4", "c-1", "c-2", "c-0"], "content_type": "video", "title": "", "published_at": NOW,
         "is_simulated": False, "genre_vector": [[1.0]] * 4}
    )  # fmt: skip
    part = frame[frame["content_id"] != "c-1"]
    for log in (frame, part):
        ours, theirs = (dataset.read_frames(one, contents)[0] for one in (log, _plain(log)))
        assert ours.subscriber_ids == theirs.subscriber_ids == tuple(sorted(set(log["subscriber_id"])))
        for name in ("users", "items", "moments", "completions", "devices"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
        assert np.array(ours.subscriber_ids)[ours.users].tolist() == log["subscriber_id"].tolist()
        assert np.array(["", "c-0", "c-1", "c-2", "c-4"])[ours.items].tolist() == log["content_id"].tolist()
    with pytest.raises(CatalogueError, match="content_id 'c-4' and 0 others were consumed and are not in the catalog"):
        dataset.read_frames(frame, contents[1:])
