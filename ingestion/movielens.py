"""MovieLens-100k, the default input.

In: the cache folder, and the wheel that holds the data set. Out: `MovieLens`, three frames of text ids.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ingestion.pinned_wheels import DataSetError, PinnedWheel, fetch_wheel
from marquee.settings import Settings

WHEEL = PinnedWheel(
    "recbole==1.2.1",
    "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    instead=", or load your own data with `marquee import DIR`",
)

_FOLDER = "recbole/dataset_example/ml-100k"


@dataclass(frozen=True)
class MovieLens:
    """Ratings in the order of the file, which breaks ties of the second-wide timestamps.

    Attributes:
        interactions: user_id, item_id (text), rating (1 to 5), timestamp (epoch seconds).
        items: item_id, title, release_year (text, empty where unknown), genres (separated by spaces).
        users: user_id, age (int), gender, occupation, zip_code (text).
    """

    interactions: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame


def load_movielens(settings: Settings) -> MovieLens:
    """Read MovieLens-100k, fetching it first when the cache has no intact copy.

    Raises:
        DataSetError: the download failed, or what came back is not the pinned file.
    """
    return read_wheel(fetch_wheel(WHEEL, settings.cache_dir / "movielens" / "movielens-100k.whl"))


def read_wheel(wheel: Path) -> MovieLens:
    """The three frames inside the wheel.

    Raises:
        DataSetError: the file is no zip, or lacks the data.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            interactions = _read(archive, "inter", ["user_id", "item_id", "rating", "timestamp"])
            items = _read(archive, "item", ["item_id", "title", "release_year", "genres"])
            users = _read(archive, "user", ["user_id", "age", "gender", "occupation", "zip_code"])
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataSetError(f"{wheel} does not hold MovieLens-100k ({error}); delete it and run again") from error
    is_year = items["release_year"].str.fullmatch(r"\d{4}")
    return MovieLens(
        interactions.astype({"rating": "float64", "timestamp": "int64"}),
        items.assign(release_year=items["release_year"].where(is_year, "")),
        users.astype({"age": "int64"}),
    )


def _read(archive: zipfile.ZipFile, extension: str, names: list[str]) -> pd.DataFrame:
    with archive.open(f"{_FOLDER}/ml-100k.{extension}") as file:
        # quoting=3: a title may hold a quotation mark
        return pd.read_csv(file, sep="\t", names=names, skiprows=1, dtype=str, keep_default_na=False, quoting=3)
