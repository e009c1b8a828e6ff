"""The default data set is read whole, or refused by the name of its file."""

import zipfile
from pathlib import Path

import pytest

from ingestion.movielens import read_wheel
from ingestion.pinned_wheels import DataSetError


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
