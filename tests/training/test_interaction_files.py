"""Anyone's files as columns: what is read, in which order, and what is said of a file that cannot be read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training import column_files, id_numbers, interaction_files
from training.column_files import ColumnFileError
from training.dataset import UNKNOWN
from training.id_numbers import IdNumbers
from training.interaction_files import LoggedInteractions, read_interactions

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
        # the first column that lacks a value, wherever its row is, before any other problem
        ({"user_id": [7, 7, 3, 7, None], "item_id": ["b", None, "b", "b", "c"]}, "row 5: user_id is empty"),
        ({"timestamp": [10_000_000_000, 20, 30, 90, None]}, "row 5: timestamp is empty"),
        ({"item_id": [["b"]] * 5}, "item_id holds list<.*>; unnest it"),
        ({"completion": ["half", "all", "all", "all", "all"]}, "completion is 'all', no number; write a share"),
        ({"completion": [0.5, 0.5, 0.5, 7.0, 1.5]}, "completion 1.5 is no share"),
        ({"timestamp": ["monday"] * 5}, "timestamp is 'monday', no number; write seconds since 1970"),
        ({"timestamp": [50, 20, 1_700_000_000_000, 90, 30]}, "timestamp 1700000000000 is not in seconds"),
        # would be before 1970 as nanoseconds of 64 bits
        ({"timestamp": [50, 20, 10_000_000_000, 90, 30]}, "timestamp 10000000000 is not in seconds"),
        ({name: [] for name in _ROWS}, "has no rows"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(
    tmp_path: Path, changes: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(column_files, "_BATCH_ROWS", 2)
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
    with pytest.raises(ColumnFileError, match=r"user_id '7' and .* such as 3; write both"):
        read_interactions(log, users_path=_write(tmp_path, "users", {"user_id": ["7"], "plan": ["premium"]}))
    with pytest.raises(ColumnFileError, match="content_type 'film' is none of video, article, podcast"):
        read_interactions(log, _write(tmp_path, "content", {"item_id": ["a"], "content_type": ["film"]}))


def test_numbers_of_users_and_items_are_dense(tmp_path: Path) -> None:
    columns = read_interactions(_write(tmp_path, "log", _ROWS)).interactions
    assert np.unique(columns.users).tolist() == [0, 1]
    assert np.unique(columns.items).tolist() == [1, 2, 3]


_USER_IDS = st.sampled_from(
    [
        pa.array([7, -3, 2**40, 0], pa.int64()),
        pa.array([7, 1, 200, 0], pa.uint8()),
        pa.array(["b", "a", "", "\U0001f600"], pa.string()),
        pa.array(["é", "z", "Z", "\uffff"], pa.large_string()),
        pa.array(["b", "a", "é", "z"]).dictionary_encode(),
        pa.array([1.5, -0.5, 0.0, 9e9], pa.float64()),
    ]
)
_TIMES = st.sampled_from(
    [
        pa.array([5, 9, -4], pa.int64()),
        pa.array([5, 9, 4], pa.uint32()),
        pa.array([5.25, 5.2500001, 9.0], pa.float64()),
        pa.array([5_000, 9_000, 4_000], pa.timestamp("ms")),
        pa.array([5, 9, 4], pa.timestamp("us", tz="Europe/Berlin")),
    ]
)
_DEVICES = st.sampled_from(
    [None, pa.array(["web", None, "connected_tv"]), pa.array(["fridge", "mobile", "web"]).dictionary_encode()]
)
_SHARES = st.sampled_from([None, pa.array([0.1, None, 1.0], pa.float64()), pa.array([0, 1, None], pa.int8())])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(*[st.integers(0, 3)] * 2, *[st.integers(0, 2)] * 3), min_size=1, max_size=60),
    users=_USER_IDS,
    items=_USER_IDS,
    times=_TIMES,
    shares=_SHARES,
    devices=_DEVICES,
    group=st.integers(1, 20),
)
def test_batches_give_what_the_whole_frame_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[int, int, int, int, int]], users: pa.Array,
    items: pa.Array, times: pa.Array, shares: pa.Array | None, devices: pa.Array | None, group: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(column_files, "_BATCH_ROWS", 7)
    monkeypatch.setattr(id_numbers, "_WAITING_IDS", 5)
    monkeypatch.setattr(id_numbers, "_ENTRIES_AT_ONCE", 3)
    monkeypatch.setattr(interaction_files, "_PAIRS_AT_ONCE", 8)
    sources = {"user_id": users, "item_id": items, "timestamp": times, "completion": shares, "device_type": devices}
    places = dict(zip(sources, zip(*rows, strict=True), strict=True))
    table = pa.table({name: of.take(pa.array(places[name])) for name, of in sources.items() if of is not None})
    pq.write_table(table, tmp_path / "log.parquet", row_group_size=group)
    found, expected = read_interactions(tmp_path / "log.parquet"), _by_frames(table.to_pandas())
    for name in ("users", "items", "moments", "completions", "devices"):
        ours, theirs = getattr(found.interactions, name), expected[name]
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    for name in ("user_ids", "item_ids"):
        assert getattr(found, name).dtype == expected[name].dtype
        assert getattr(found, name).tolist() == expected[name].tolist()
    assert found.interactions.subscriber_ids == tuple(map(str, expected["user_ids"]))


def _by_frames(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """What the columns are meant to be, said of a frame as a whole."""
    times = frame["timestamp"]
    if pd.api.types.is_datetime64_any_dtype(times):
        moments = times.dt.as_unit("ns").astype("int64")
    elif pd.api.types.is_integer_dtype(times):
        moments = times.astype("int64") * 10**9
    else:
        moments = (times * 1e6).round().astype("int64") * 1_000
    frame = frame.assign(moment=moments).sort_values("moment", kind="stable")
    frame = frame.drop_duplicates(["user_id", "item_id"], keep="first")
    users, user_ids = pd.factorize(frame["user_id"].to_numpy(), sort=True)
    items, item_ids = pd.factorize(frame["item_id"].to_numpy(), sort=True)
    shares = frame["completion"].to_numpy(np.float32) if "completion" in frame else np.full(len(frame), np.nan, "f4")
    named = frame["device_type"] if "device_type" in frame else pd.Series([None] * len(frame))
    numbers = np.array([{"web": 1, "mobile": 2, "connected_tv": 3}.get(name, 0) for name in named], dtype=np.int8)
    return {
        "users": users.astype(np.int32), "items": items.astype(np.int32) + np.int32(1),
        "moments": frame["moment"].to_numpy(), "completions": shares, "devices": numbers,
        "user_ids": user_ids, "item_ids": item_ids,
    }  # fmt: skip


def test_ids_of_many_batches_are_numbered_as_if_they_came_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_numbers, "_WAITING_IDS", 40)
    monkeypatch.setattr(id_numbers, "_ENTRIES_AT_ONCE", 64)
    ids = np.array([f"s{n}" for n in np.random.default_rng(3).integers(0, 300, 2_000)], dtype=object)
    numbers = IdNumbers(len(ids))
    for low in range(0, len(ids), 90):
        numbers.add(pa.array(ids[low : low + 90]))
    known, found = numbers.sorted()
    assert known.tolist() == sorted(set(ids))
    assert known[found].tolist() == ids.tolist()


def test_only_the_columns_that_are_needed_are_read(tmp_path: Path) -> None:
    path = _write(tmp_path, "log", _ROWS | {"note": ["x" * 1_000] * 5})
    # a damaged column that nobody asks for does not matter
    data = path.read_bytes()
    start = pq.read_metadata(path).row_group(0).column(3)
    low = start.dictionary_page_offset or start.data_page_offset
    path.write_bytes(data[:low] + b"\0" * start.total_compressed_size + data[low + start.total_compressed_size :])
    assert isinstance(read_interactions(path), LoggedInteractions)
    with pytest.raises((ColumnFileError, OSError)):
        column_files.read_columns(path, ("note",))
