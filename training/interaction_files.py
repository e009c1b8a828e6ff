"""Anyone's interactions as columns: Parquet files in, what the models learn from out.

In: a file with `user_id`, `item_id` and `timestamp`, and files about items and users where there are any. Out: columns,
in which a pair of user and item stands once, at its first time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from feature_repo.columns import CONTENT_TYPES
from feature_repo.profile_codes import ProfileCodes
from feature_repo.tower_inputs import NO_DEVICE, device_codes
from training.column_files import (
    ColumnFile,
    ColumnFileError,
    empty_value,
    first_empty,
    read_columns,
    refuse_empty,
)
from training.dataset import UNKNOWN, Bools, Contents, Interactions
from training.histories import SECOND, Devices, Floats, Ints, Items
from training.id_numbers import IdNumbers

_NEEDED = ("user_id", "item_id", "timestamp")
_COMPLETION = "completion"
_DEVICE = "device_type"
_OF_ITEMS = ("tags", "title", "text", "published_at", "content_type")
# of users and items, known at a time
_PAIRS_AT_ONCE = 2**20
# the commonest tags of a catalogue are its taxonomy; a tag of one item says what its id says
_MOST_TAGS = 64
# nanoseconds are held in 64 bits, which end in the year 2262; milliseconds of today are beyond it too
_LATEST_SECONDS = 9_000_000_000


@dataclass(frozen=True)
class LoggedInteractions:
    """A file's interactions. Users and items are numbered in the order of their ids, items from 1.

    Attributes:
        user_ids, item_ids: the ids as the file has them, by number; the first item's at place 0.
        user_groups: of each user what the file about users says, a column a property; no column without such a file.
    """

    interactions: Interactions
    contents: Contents
    user_ids: np.ndarray
    item_ids: np.ndarray
    user_groups: pd.DataFrame


def read_interactions(
    path: Path,
    content_path: Path | None = None,
    users_path: Path | None = None,
    profile_columns: Sequence[str] = (),
) -> LoggedInteractions:
    """Columns of a file of interactions, ordered by time, rows of one time in their order.

    Args:
        path: `user_id`, `item_id`, `timestamp`, and where they are known `completion` (share consumed, 0 to 1) and
            `device_type` (web, mobile, connected_tv; any other says nothing).
        content_path: `item_id`, and of each item what there is: `tags` (a list, or text with `|` or `,` between them),
            `title` and `text`, `published_at` (as timestamps are), and `content_type` (video, article or podcast; video
            unless said).
        users_path: `user_id`, and properties by which figures are shown.
        profile_columns: which of these the models may know, for they change seldom; those that are not there are none.

    Raises:
        ColumnFileError: a column is missing, a value is none, or a timestamp is no moment.
    """
    log = _read_log(path)
    order = np.argsort(log.moments, kind="stable")
    first_row = int(order[0])
    log = _of_rows(log, order)
    del order
    is_first = ~_is_repeated(log.users, log.items)
    if not is_first.all():
        log = _of_rows(log, is_first)
    consumed = log.item_ids[pd.unique(log.items)]
    about_items = _said_of("item_id", consumed, content_path, _OF_ITEMS.__contains__)
    # what nobody consumed is in the catalogue too
    item_ids = np.unique(np.concatenate([consumed, about_items.index.to_numpy()]))
    number_of = np.searchsorted(item_ids, log.item_ids).astype(np.int32) + 1
    groups = _said_of("user_id", log.user_ids, users_path).reindex(log.user_ids).reset_index(drop=True)
    codes = ProfileCodes.of(groups[[name for name in profile_columns if name in groups]])
    interactions = Interactions(
        subscriber_ids=tuple(map(str, log.user_ids)),
        users=log.users,
        items=number_of[log.items],
        moments=log.moments,
        completions=_completions(log, first_row),
        devices=log.devices,
        profiles=codes.codes(groups),
        profile_size=codes.size,
    )
    contents = _contents(about_items.reindex(item_ids), content_path or path).out_when_consumed(interactions)
    return LoggedInteractions(interactions, contents, log.user_ids, item_ids, groups)


@dataclass(frozen=True)
class _Log:
    """M rows of a file.

    Attributes:
        user_ids, item_ids: each once, in their order.
        users, items: (M,) places in these.
        completions: (M,) as the file says; None where it says nothing, or no numbers.
        devices: (M,)
    """

    file: ColumnFile
    user_ids: np.ndarray
    item_ids: np.ndarray
    users: Items
    items: Items
    moments: Ints
    completions: Floats | None
    devices: Devices


def _read_log(path: Path) -> _Log:
    file = ColumnFile.opened(path, _NEEDED)
    for name in ("user_id", "item_id"):
        if pa.types.is_nested(file.types[name]):
            raise ColumnFileError(f"{path}: {name} holds {file.types[name]}; unnest it, so that a row has one id")
    ids = {name: IdNumbers(file.row_count) for name in ("user_id", "item_id")}
    moments = np.empty(file.row_count, dtype=np.int64)
    completions = None
    if _is_number(file.types.get(_COMPLETION)):
        completions = np.empty(file.row_count, dtype=np.float32)
    devices = np.full(file.row_count, NO_DEVICE, dtype=np.int8)
    also = [*([] if completions is None else [_COMPLETION]), *([_DEVICE] if _DEVICE in file.types else [])]
    empty: dict[str, int] = {}
    problem: ColumnFileError | None = None
    row = 0
    for batch in file.batches([*_NEEDED, *also]):
        for name in _NEEDED:
            place = None if name in empty else first_empty(batch[name])
            if place is not None:
                empty[name] = row + place
        rows = slice(row, row := row + len(batch))
        # the first empty value of each column is looked for in all of the file, before anything is said
        if empty or problem is not None:
            continue
        for name, numbers in ids.items():
            numbers.add(batch[name])
        try:
            moments[rows] = _moments(batch["timestamp"].to_pandas(), "timestamp", path)
        except ColumnFileError as error:
            problem = error
        if completions is not None:
            completions[rows] = batch[_COMPLETION].to_pandas().to_numpy(dtype=np.float32)
        if _DEVICE in also:
            devices[rows] = device_codes(batch[_DEVICE].to_pandas())
    for name in _NEEDED:
        if name in empty:
            raise empty_value(path, name, empty[name])
    if problem is not None:
        raise problem
    (user_ids, users), (item_ids, items) = (numbers.sorted() for numbers in ids.values())
    return _Log(file, user_ids, item_ids, users, items, moments, completions, devices)


def _of_rows(log: _Log, rows: Ints | Bools) -> _Log:
    """The same file's chosen rows."""
    return replace(
        log,
        users=log.users[rows],
        items=log.items[rows],
        moments=log.moments[rows],
        completions=None if log.completions is None else log.completions[rows],
        devices=log.devices[rows],
    )


def _is_number(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_repeated(users: Items, items: Items) -> Bools:
    """Whether a pair of user and item was there before.  # (M,), (M,) -> (M,)"""
    is_repeated = np.zeros(len(users), dtype=bool)
    width, user_count = int(items.max()) + 1, int(users.max()) + 1
    # of some users at a time, for pairs that are known are larger than what they are made from
    step = max(1, user_count * _PAIRS_AT_ONCE // len(users))
    for low in range(0, user_count, step):
        rows = np.flatnonzero((users >= low) & (users < low + step))
        pairs = users[rows].astype(np.int64) * width + items[rows]
        is_repeated[rows] = pd.Series(pairs).duplicated().to_numpy()
    return is_repeated


def _read(path: Path, needed: tuple[str, ...], also: Callable[[str], bool]) -> pd.DataFrame:
    frame = read_columns(path, needed, also)
    refuse_empty(frame, needed, path)
    return frame


def _moments(timestamps: pd.Series, name: str, path: Path) -> Ints:
    """Nanoseconds since 1970."""
    if pd.api.types.is_datetime64_any_dtype(timestamps):
        nanoseconds: Ints = timestamps.dt.as_unit("ns").astype("int64").to_numpy()
        return nanoseconds
    if not pd.api.types.is_numeric_dtype(timestamps) or pd.api.types.is_bool_dtype(timestamps):
        raise ColumnFileError(
            f"{path}: {name} is {timestamps.iloc[0]!r}, no number; write seconds since 1970, or a Parquet timestamp"
        )
    values = timestamps.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all() or np.abs(values).max() >= _LATEST_SECONDS:
        value = values[~np.isfinite(values) | (np.abs(values) >= _LATEST_SECONDS)][0]
        raise ColumnFileError(f"{path}: {name} {value:.0f} is not in seconds since 1970; divide it if it is finer")
    seconds = timestamps.to_numpy()
    if np.issubdtype(seconds.dtype, np.integer):
        return np.asarray(seconds.astype(np.int64) * SECOND, dtype=np.int64)
    return np.asarray(np.round(values * 1e6).astype(np.int64) * 1_000, dtype=np.int64)


def _completions(log: _Log, first_row: int) -> Floats:
    """In the order of time; `first_row` is where the file has the first of them."""
    path = log.file.path
    if _COMPLETION not in log.file.types:
        return np.full(len(log.users), np.nan, dtype=np.float32)
    if log.completions is None:
        said = read_columns(path, (_COMPLETION,), lambda _: False)[_COMPLETION].iloc[first_row]
        raise ColumnFileError(f"{path}: {_COMPLETION} is {said!r}, no number; write a share from 0 to 1")
    wrong = (log.completions < 0) | (log.completions > 1)
    if wrong.any():
        raise ColumnFileError(f"{path}: {_COMPLETION} {log.completions[wrong][0]:g} is no share; write it from 0 to 1")
    return log.completions


def _said_of(
    key: str, ids: np.ndarray, path: Path | None, also: Callable[[str], bool] = lambda _: True
) -> pd.DataFrame:
    """What the file at `path` says, by `key`, in the columns of which `also` is true; nothing where there is no file.

    Raises:
        ColumnFileError: it says nothing of any of `ids`.
    """
    if path is None:
        return pd.DataFrame(index=ids)
    said = _read(path, (key,), also).drop_duplicates(key, keep="last").set_index(key)
    if not said.index.isin(ids).any():
        raise ColumnFileError(
            f"{path}: {key} {said.index[:1].tolist()[0]!r} and the others are not among the interactions', which are "
            f"such as {ids[:1].tolist()[0]!r}; write both in the same way"
        )
    return said


def _contents(frame: pd.DataFrame, path: Path) -> Contents:
    """Of a row an item."""
    tags = [_tags_of(said) for said in frame["tags"]] if "tags" in frame else [()] * len(frame)
    counts = pd.Series([tag for of_one in tags for tag in of_one], dtype=object).value_counts(sort=False)
    chosen = sorted(counts.index, key=lambda tag: (-counts[tag], tag))[:_MOST_TAGS]
    column_of = {tag: column for column, tag in enumerate(chosen)}
    genres = np.zeros((len(frame), len(chosen)), dtype=np.float32)
    for row, of_one in enumerate(tags):
        genres[row, [column_of[tag] for tag in of_one if tag in column_of]] = 1.0
    if "content_type" not in frame:
        frame["content_type"] = CONTENT_TYPES[0]
    kinds = frame["content_type"].fillna(CONTENT_TYPES[0])
    unknown = sorted({str(kind) for kind in kinds} - set(CONTENT_TYPES))
    if unknown:
        raise ColumnFileError(
            f"{path}: content_type {unknown[0]!r} is none of {', '.join(CONTENT_TYPES)}; leave the column out"
        )
    types = np.stack([kinds == name for name in CONTENT_TYPES], axis=1).astype(np.float32)
    side = np.concatenate([genres, types], axis=1)
    texts = [""] * len(frame)
    for name in ("title", "text"):
        if name in frame:
            texts = [f"{text} {said}" for text, said in zip(texts, frame[name].fillna(""), strict=True)]
    # tags beside the commonest are words
    texts = [
        " ".join([text, *(tag.replace(" ", "_") for tag in of_one if tag not in column_of)])
        for text, of_one in zip(texts, tags, strict=True)
    ]
    published = np.full(len(frame), UNKNOWN)
    if "published_at" in frame:
        known = frame["published_at"].notna().to_numpy()
        published[known] = _moments(frame.loc[known, "published_at"], "published_at", path)
    return Contents.of(tuple(map(str, frame.index)), side, texts, published, np.ones(len(frame), dtype=bool))


def _tags_of(said: object) -> tuple[str, ...]:
    if isinstance(said, str):
        parts = said.replace("|", ",").split(",")
    elif isinstance(said, list | tuple | np.ndarray):
        parts = [str(part) for part in said]
    else:
        return ()
    return tuple(dict.fromkeys(part.strip().lower() for part in parts if part.strip()))
