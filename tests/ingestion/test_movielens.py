"""The default data set is the pinned file or a clear error, never something else."""

import zipfile
from pathlib import Path

import pytest

from ingestion import movielens
from ingestion.movielens import DataSetError, fetch_wheel, read_wheel
from marquee.settings import Settings


@pytest.fixture
def other_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip set up for a folder that holds another file under the name of the pinned wheel."""
    index = tmp_path / "index"
    index.mkdir()
    name, version = movielens.REQUIREMENT.split("==")
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{about}/METADATA", metadata)
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return index


def _settings(tmp_path: Path) -> Settings:
    return Settings(var_dir=tmp_path / "var")


@pytest.mark.usefixtures("other_index")
def test_a_wheel_with_another_checksum_is_refused_and_not_kept(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    with pytest.raises(DataSetError, match=f"expected {movielens.SHA256}"):
        fetch_wheel(settings)
    assert not [path for path in settings.cache_dir.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("other_index")
def test_a_damaged_copy_in_the_cache_is_not_trusted(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    cached = settings.cache_dir / "movielens" / "movielens-100k.whl"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half a wheel")
    with pytest.raises(DataSetError, match="sha256"):
        fetch_wheel(settings)


def test_an_index_without_the_wheel_is_an_error_that_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DataSetError, match="marquee import DIR"):
        fetch_wheel(_settings(tmp_path))


def test_a_zip_without_the_data_set_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "other.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(DataSetError, match=r"other\.whl"):
        read_wheel(path)


def test_titles_with_quotation_marks_and_items_without_a_year_are_read(tmp_path: Path) -> None:
    path = tmp_path / "small.whl"
    files = {
        "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t2\t4\t874724710\n",
        "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        '2\tSay "Go\t1996\tDrama\n3\tUnknown\tV\t\n',
        "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\twriter\t01234\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for extension, text in files.items():
            archive.writestr(f"recbole/dataset_example/ml-100k/ml-100k.{extension}", text)
    data = read_wheel(path)
    assert data.items["title"].tolist() == ['Say "Go', "Unknown"]
    assert data.items["release_year"].tolist() == ["1996", ""]
    assert data.users["zip_code"].tolist() == ["01234"]
    assert data.interactions["timestamp"].tolist() == [874724710]
