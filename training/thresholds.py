"""The limits of the gate, read from `training/gate.yml` or the file that the settings name.

In: a YAML file. Out: a checked `Thresholds`. Every field is explained in the file as shipped.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from marquee.errors import MarqueeError
from marquee.yaml_files import ConfigFile, Strict

Attribute = Literal["age_band", "gender", "region", "plan", "tenure"]
FairnessMetric = Literal["ndcg", "recall", "coverage"]
Baseline = Literal["popularity", "popularity_7d", "content_based", "item_knn", "ease", "two_tower"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class ThresholdsError(MarqueeError):
    """The file of the gate's limits is missing or wrong."""


_FILE = ConfigFile("MARQUEE_GATE_FILE", "training/gate.yml", ThresholdsError)


class MostShare(Strict):
    """From where on a share is a warning, and from where on too much."""

    warn: Share
    fail: Share

    @model_validator(mode="after")
    def _fails_later(self) -> Self:
        if self.warn > self.fail:
            raise ValueError(f"warn {self.warn} must not be above fail {self.fail}")
        return self


class LeastRatio(Strict):
    """Below what a ratio is a warning, and below what it is too small."""

    warn: Share
    fail: Share

    @model_validator(mode="after")
    def _fails_later(self) -> Self:
        if self.warn < self.fail:
            raise ValueError(f"warn {self.warn} must not be below fail {self.fail}")
        return self


class BatchThresholds(Strict):
    plays_an_hour: Count
    plays_a_day: Count
    plays_of_one_content_a_day: Count
    plays_of_one_subscriber: Count
    accounts_in_step: Annotated[int, Field(ge=2)]
    contents_in_step: Annotated[int, Field(ge=2)]
    set_aside_share: MostShare
    least_new_interactions: Count


class QualityThresholds(Strict):
    loo: Baseline
    temporal: Baseline


class ChampionThresholds(Strict):
    tolerance: Share
    ratio_drop: Share
    least_subscribers: Annotated[int, Field(ge=2)]


class FairnessThresholds(Strict):
    least_subscribers: Annotated[int, Field(ge=2)]
    tenure_days: Annotated[tuple[Count, ...], Field(min_length=1)]
    attributes: Annotated[dict[Attribute, dict[FairnessMetric, LeastRatio]], Field(min_length=1)]

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        if list(self.tenure_days) != sorted(set(self.tenure_days)):
            raise ValueError(f"tenure_days {list(self.tenure_days)} must rise")
        return self


class Thresholds(Strict):
    """See gate.yml, where each field is explained."""

    batch: BatchThresholds
    quality: QualityThresholds
    champion: ChampionThresholds
    fairness: FairnessThresholds


def load_thresholds(path: Path) -> Thresholds:
    """Read and check the limits.

    Raises:
        ThresholdsError: the file is missing, is no YAML, or a field of it is wrong; names the field and the value.
    """
    return _FILE.read(path, Thresholds)
