"""The re-ranker's file: what is shipped is what the code falls back on, and what is wrong is named."""

from pathlib import Path

import pytest

from marquee.settings import PROJECT_ROOT
from training.ranker_config import RankerConfig, RankerConfigError, read_ranker_config


def test_the_file_as_shipped_says_what_the_code_would_take() -> None:
    assert read_ranker_config(PROJECT_ROOT / "training" / "ranker.yml") == RankerConfig()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("finish_share: 1.5", "finish_share: .*found 1.5"),
        ("retrun_days: 7", "retrun_days: .*found 7"),
        ("- 1", "the file: "),
        ("epochs: [", "is no YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_value(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "ranker.yml"
    path.write_text(text)
    with pytest.raises(RankerConfigError, match=said) as caught:
        read_ranker_config(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(RankerConfigError, match="MARQUEE_RANKER_FILE"):
        read_ranker_config(tmp_path / "none.yml")
