"""What a tower is told, and how a version says what its tower takes."""

import pandas as pd
import pytest

from feature_repo.profile_codes import PROFILES
from feature_repo.tower_inputs import TOWER_INPUTS, chosen, device_code, device_codes, inputs_of


def test_a_version_takes_what_its_manifest_names_and_an_old_one_what_there_was() -> None:
    assert inputs_of(TOWER_INPUTS, [PROFILES]) == TOWER_INPUTS
    assert inputs_of((), []) == ("items", "moments", "completions", "asked")
    assert inputs_of((), [PROFILES, "ranker.pt2"]) == ("items", "moments", "completions", "asked", "profiles")
    with pytest.raises(ValueError, match="its tower wants weather, which is not known now; use the release"):
        inputs_of(("items", "weather"), [])
    assert chosen(("asked", "items"), {"items": 1, "profiles": 2, "asked": 3}) == [3, 1]


def test_a_device_has_one_number_for_training_and_for_requests() -> None:
    names = ["web", None, "connected_tv", "fridge", "mobile", float("nan")]
    codes = device_codes(pd.Series(names))
    assert codes.tolist() == [1, 0, 3, 0, 2, 0]
    assert codes.tolist() == [device_code(name if isinstance(name, str) else None) for name in names]
    assert len(device_codes(pd.Series([], dtype=object))) == 0
