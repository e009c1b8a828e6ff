"""Numbers for what is known of a subscriber: the same in training and in a request, and none for the few."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.profile_codes import ProfileCodes

_CODES = ProfileCodes({"gender": ("female", "male"), "region": ("north", "south")})
_VALUES = st.sampled_from(["female", "male", "north", "south", "unknown", "", None])


def test_values_of_few_and_of_the_unknown_have_no_number() -> None:
    frame = pd.DataFrame({"gender": ["male"] * 20 + ["female"] * 19 + ["unknown"] * 30 + [None] * 5})
    codes = ProfileCodes.of(frame)
    assert codes.values == {"gender": ("male",)}
    assert codes.codes(frame)[:, 0].tolist() == [1] * 20 + [0] * 54


@given(st.lists(st.tuples(_VALUES, _VALUES), max_size=8))
def test_a_request_has_the_numbers_of_training(rows: list[tuple[str | None, str | None]]) -> None:
    frame = pd.DataFrame(rows, columns=["gender", "region"], dtype=object)
    alone = [_CODES.codes_of(dict(zip(("gender", "region"), row, strict=True))).tolist() for row in rows]
    assert _CODES.codes(frame).tolist() == alone
    assert all(code < _CODES.size for codes in alone for code in codes)


def test_no_two_values_share_a_number() -> None:
    frame = pd.DataFrame({"gender": ["female", "male", "female"], "region": ["north", "south", "south"]})
    assert _CODES.codes(frame).tolist() == [[1, 3], [2, 4], [1, 4]]


def test_nothing_declared_is_one_unknown_property() -> None:
    none = ProfileCodes.none()
    assert (none.size, none.width) == (1, 1)
    assert none.codes_of({"gender": "female"}).tolist() == [0]
    assert none.codes(pd.DataFrame(index=[3, 4])).tolist() == [[0], [0]]


@pytest.mark.parametrize("codes", [_CODES, ProfileCodes.none()])
def test_what_was_written_is_read(tmp_path: Path, codes: ProfileCodes) -> None:
    codes.save(tmp_path / "codes.json")
    assert ProfileCodes.load(tmp_path / "codes.json") == codes
