"""The towers' file: read, larger where there is more to learn from, and refused by name."""

from pathlib import Path

import pytest

from marquee.settings import Settings
from training.tower_config import TowerConfig, TowerConfigError, read_config


def test_the_file_in_use_is_read(tmp_path: Path) -> None:
    assert read_config(Settings().two_tower_file).sequence_length == 50
    path = tmp_path / "own.yml"
    path.write_text("embedding_size: 32\nepochs: 3\n")
    assert read_config(path) == TowerConfig(embedding_size=32, epochs=3)


_LARGER = "larger: {from_interactions: 1000, embedding_size: 32, dropout: 0.0, epochs: 4}"


def test_a_larger_log_has_larger_towers(tmp_path: Path) -> None:
    path = tmp_path / "own.yml"
    path.write_text(f"embedding_size: 16\nlearning_rate: 0.002\n{_LARGER}\n")
    config = read_config(path)
    assert config.sized(999) == config
    sized = config.sized(1_000)
    assert (sized.embedding_size, sized.dropout, sized.epochs, sized.learning_rate) == (32, 0.0, 4, 0.002)
    assert TowerConfig().sized(10**9) == TowerConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: none", "epochs: .*integer.*found 'none'"),
        ("dropout: 1.5", "dropout: .*less than 1, found 1.5"),
        ("layers: 3", "layers: .*not permitted, found 3"),
        ("embedding_size: 9", "embedding_size 9 is no multiple of head_count 2"),
        (_LARGER.replace("32", "31"), "embedding_size 31 is no multiple of head_count 2"),
        ("larger: {embedding_size: 32}", "larger.from_interactions: Field required"),
        ("a: [", "is no YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.yml"
    path.write_text(text)
    with pytest.raises(TowerConfigError, match=f"own.yml.*{message}"):
        read_config(path)
    with pytest.raises(TowerConfigError, match="MARQUEE_TWO_TOWER_FILE"):
        read_config(tmp_path / "gone.yml")
