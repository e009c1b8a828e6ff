"""MovieLens-100k, the default input: fetched once from its wheel, checked, cached, never committed.

In: the package index that pip is set up for, and the cache folder. Out: `MovieLens`, three frames of text ids.
The wheel is only a container here: it is read as a zip file, never installed or imported.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from marquee.errors import MarqueeError
from marquee.settings import Settings

REQUIREMENT = "recbole==1.2.1"
SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"

_FOLDER = "recbole/dataset_example/ml-100k"
_DOWNLOAD_TIMEOUT_SECONDS = 180


class DataSetError(MarqueeError):
    """The default data set cannot be obtained."""


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
    return read_wheel(fetch_wheel(settings))


def fetch_wheel(settings: Settings) -> Path:
    """The pinned wheel in the cache; downloaded beside it and renamed, so that a killed download leaves no half file.

    Raises:
        DataSetError: see `load_movielens`.
    """
    cached = settings.cache_dir / "movielens" / "movielens-100k.whl"
    if cached.exists() and _sha256(cached) == SHA256:
        return cached
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix="download-") as folder:
        wheel = _download(Path(folder))
        found = _sha256(wheel)
        if found != SHA256:
            raise DataSetError(
                f"the download of {REQUIREMENT} has sha256 {found}, expected {SHA256}; "
                "check which package index pip uses, then run again"
            )
        wheel.rename(cached)
    return cached


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


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), REQUIREMENT]
    try:
        finished = subprocess.run(
            command, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DataSetError(
            f"pip did not download {REQUIREMENT} within {_DOWNLOAD_TIMEOUT_SECONDS} s; check the network"
        ) from error
    wheels = list(folder.glob("*.whl"))
    if finished.returncode != 0 or not wheels:
        last_line = (finished.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataSetError(
            f"pip could not download {REQUIREMENT} ({last_line}); check the network and pip's index, "
            f"or load your own data with `marquee import DIR`"
        )
    return wheels[0]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
