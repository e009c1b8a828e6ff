"""The file of the gate's limits: the one that is shipped holds, and a wrong one names the field and the value."""

from pathlib import Path

import pytest

from marquee.settings import Settings
from training.thresholds import Thresholds, ThresholdsError, load_thresholds

SHIPPED = Settings.model_fields["gate_file"].default


def test_the_shipped_file_holds_and_knows_every_audience_attribute() -> None:
    limits = load_thresholds(SHIPPED)
    assert set(limits.fairness.attributes) == {"age_band", "gender", "region", "plan", "tenure"}
    assert all(set(metrics) == {"ndcg", "recall", "coverage"} for metrics in limits.fairness.attributes.values())


def test_a_team_brings_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yml"
    own.write_text(SHIPPED.read_text().replace("plays_an_hour: 1000", "plays_an_hour: 60"))
    monkeypatch.setenv("MARQUEE_GATE_FILE", str(own))
    limits: Thresholds = load_thresholds(Settings().gate_file)
    assert limits.batch.plays_an_hour == 60


@pytest.mark.parametrize(
    ("written", "instead", "words"),
    [
        ("plays_an_hour: 1000", "plays_an_hour: 0", r"batch\.plays_an_hour: .* greater than or equal to 1, found 0"),
        ("plays_an_hour: 1000", "", r"batch\.plays_an_hour: Field required"),
        ("tolerance: 0.05", "tolerance: much", r"champion\.tolerance: .*, found 'much'"),
        ("loo: ease", "loo: oracle", r"quality\.loo: .* found 'oracle'"),
        ("gender: *levels", "shoe_size: *levels", r"fairness\.attributes\.shoe_size.*age_band.*found 'shoe_size'"),
        ("tenure_days: [30, 90, 180]", "tenure_days: [90, 30]", r"tenure_days \[90, 30\] must rise"),
        ("{warn: 0.001, fail: 0.01}", "{warn: 0.1, fail: 0.01}", r"set_aside_share: .*warn 0.1 must not be above"),
        ("tolerance: 0.05", "tolerance: 0.05\n  mood: good", r"champion\.mood: Extra inputs .* found 'good'"),
        ("quality:", "quality: [", "is no YAML"),
    ],
)
def test_a_wrong_file_names_the_field_and_the_value(tmp_path: Path, written: str, instead: str, words: str) -> None:
    text = SHIPPED.read_text()
    assert written in text
    path = tmp_path / "gate.yml"
    path.write_text(text.replace(written, instead, 1))
    with pytest.raises(ThresholdsError, match=words) as refused:
        load_thresholds(path)
    assert str(path) in str(refused.value)


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsError, match="MARQUEE_GATE_FILE"):
        load_thresholds(tmp_path / "nowhere.yml")
