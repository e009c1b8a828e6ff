"""The re-ranker's configuration, read from `training/ranker.yml` or the file that the settings name.

In: a YAML file. Out: a checked `RankerConfig`. Every field is explained in the file as shipped.
"""

from pathlib import Path

from pydantic import Field

from marquee.errors import MarqueeError
from marquee.yaml_files import ConfigFile, Strict


class RankerConfigError(MarqueeError):
    """The file that configures the re-ranker cannot be used."""


_FILE = ConfigFile("MARQUEE_RANKER_FILE", "training/ranker.yml", RankerConfigError)


class RankerConfig(Strict):
    """See ranker.yml, which has the values in use."""

    hidden_size: int = Field(24, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    learning_rate: float = Field(5e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    epochs: int = Field(60, ge=1)
    batch_size: int = Field(64, ge=1)
    finish_share: float = Field(0.9, gt=0, le=1)
    return_days: int = Field(7, ge=1)
    least_outcomes: int = Field(200, ge=2)
    least_rare_outcomes: int = Field(30, ge=1)
    calibration_folds: int = Field(3, ge=2)
    least_impressions: int = Field(500, ge=1)
    most_impressions: int = Field(20_000, ge=1)
    examination_power: float = Field(1.0, ge=0)
    most_weight: float = Field(10.0, ge=1)
    finish_weight: float = Field(0.1, ge=0)
    return_weight: float = Field(0.05, ge=0)


def read_ranker_config(path: Path) -> RankerConfig:
    """The re-ranker's configuration.

    Raises:
        RankerConfigError: the file is not there, or a value is none; the message names file, field and remedy.
    """
    return _FILE.read(path, RankerConfig)
