"""Anyone's files as columns: what is read, in which order, and what is said of a file that cannot be read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.column_files import ColumnFileError
from training.dataset import UNKNOWN
from training.interaction_files import read_interactions

_ROWS = {
    "user_id": [7, 7, 3, 7, 3],
    "item_id": ["b", "a", "b", "b", "c"],
    "timestamp": [50, 20, 30, 90, 30],
}


def _write(folder: Path, name: str, columns: dict[str, object]) -> Path:
    path = folder / f"{name}.parquet"
    pd.DataFrame(columns).to_parquet(path, index=False)
    return path


def test_of_users_the_models_know_the_columns_that_may_be_known(tmp_path: Path) -> None:
    rows = {"user_id": list(range(50)), "item_id": ["a"] * 50, "timestamp": list(range(50))}
    said = {
        "user_id": list(range(50)),
        "region": ["n", "s"] * 25,
        "gender": ["f"] * 5 + [None] * 45,
        "churned": [1] * 50,
    }
    users = _write(tmp_path, "users", said)
    log = read_interactions(_write(tmp_path, "log", rows), None, users, ("gender", "region", "age_band"))
    # five of a kind are too few
    assert log.interactions.profiles.tolist() == [[0, 1], [0, 2]] * 25
    assert log.interactions.profile_size == 3
    without = read_interactions(_write(tmp_path, "log", rows), None, users).interactions
    assert (without.profiles.tolist(), without.profile_size) == ([[0]] * 50, 1)


def test_rows_come_in_time_and_a_pair_at_its_first_time(tmp_path: Path) -> None:
    log = read_interactions(_write(tmp_path, "log", _ROWS))
    columns = log.interactions
    assert log.user_ids.tolist() == [3, 7]
    assert log.item_ids.tolist() == ["a", "b", "c"]
    rows = zip(log.user_ids[columns.users], log.item_ids[columns.items - 1], columns.moments // 10**9, strict=True)
    # rows of one time in the order of the file
    assert list(rows) == [(7, "a", 20), (3, "b", 30), (3, "c", 30), (7, "b", 50)]
    assert log.contents.side.shape == (4, 3)


@pytest.mark.parametrize(
    "timestamps",
    [pd.to_datetime([1_700_000_000, 1_700_000_001], unit="s"), [1_700_000_000.0, 1_700_000_001.0]],
    ids=["moments", "fractions"],
)
def test_a_moment_may_be_written_in_several_ways(tmp_path: Path, timestamps: object) -> None:
    path = _write(tmp_path, "log", {"user_id": ["u", "u"], "item_id": ["a", "b"], "timestamp": timestamps})
    moments = read_interactions(path).interactions.moments
    assert moments.tolist() == [1_700_000_000 * 10**9, 1_700_000_001 * 10**9]


def test_what_is_said_of_items_and_users_stands_beside_them(tmp_path: Path) -> None:
    content = _write(
        tmp_path,
        "content",
        {
            "item_id": ["c", "a", "x"],
            "tags": ["Drama|War", "war, War", "Comedy"],
            "content_type": ["article", None, "video"],
            "title": ["The Long War", None, "War"],
            "published_at": pd.to_datetime([5, None, 7], unit="s"),
        },
    )
    users = _write(tmp_path, "users", {"user_id": [7], "plan": ["premium"]})
    log = read_interactions(_write(tmp_path, "log", _ROWS), content, users)
    # the commonest tag first, then video, article, podcast; nothing is known of b, and x is in no interaction
    assert log.contents.content_ids == ("a", "b", "c", "x")
    assert log.contents.side.tolist() == [
        [0] * 6, [1, 0, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0], [1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 0]
    ]  # fmt: skip
    assert log.contents.published.tolist() == [UNKNOWN, UNKNOWN, UNKNOWN, 5 * 10**9, 7 * 10**9]
    # one word of x, and three of c, among them the same
    assert (log.contents.words > 0).sum(axis=1).tolist() == [0, 0, 0, 3, 1]
    assert log.contents.words[4, 0] in log.contents.words[3]
    assert log.user_groups["plan"].where(log.user_groups["plan"].notna(), None).tolist() == [None, "premium"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"item_id": None}, "has no column item_id, but user_id, timestamp; rename"),
        ({"user_id": [7, None, 3, 7, 3]}, "row 2: user_id is empty"),
        ({"timestamp": ["monday"] * 5}, "timestamp is 'monday', no number; write seconds since 1970"),
        ({"timestamp": [50, 20, 1_700_000_000_000, 90, 30]}, "timestamp 1700000000000 is not in seconds"),
        # would be before 1970 as nanoseconds of 64 bits
        ({"timestamp": [50, 20, 10_000_000_000, 90, 30]}, "timestamp 10000000000 is not in seconds"),
        ({name: [] for name in _ROWS}, "has no rows"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    columns = {name: values for name, values in {**_ROWS, **changes}.items() if values is not None}
    with pytest.raises(ColumnFileError, match=said):
        read_interactions(_write(tmp_path, "log", columns))


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    log = _write(tmp_path, "log", _ROWS)
    (tmp_path / "text.parquet").write_text("user_id,item_id")
    with pytest.raises(ColumnFileError, match="is no Parquet file"):
        read_interactions(tmp_path / "text.parquet")
    with pytest.raises(ColumnFileError, match="there is no such file"):
        read_interactions(tmp_path / "none.parquet")
    with pytest.raises(ColumnFileError, match="user_id '7' and the others are not among the interactions'"):
        read_interactions(log, users_path=_write(tmp_path, "users", {"user_id": ["7"], "plan": ["premium"]}))
    with pytest.raises(ColumnFileError, match="content_type 'film' is none of video, article, podcast"):
        read_interactions(log, _write(tmp_path, "content", {"item_id": ["a"], "content_type": ["film"]}))


def test_numbers_of_users_and_items_are_dense(tmp_path: Path) -> None:
    columns = read_interactions(_write(tmp_path, "log", _ROWS)).interactions
    assert np.unique(columns.users).tolist() == [0, 1]
    assert np.unique(columns.items).tolist() == [1, 2, 3]
