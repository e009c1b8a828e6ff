"""The towers' configuration, read from `training/two_tower.yml` or the file that the settings name."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from feature_repo.profile_codes import PROFILE_COLUMNS, ProfileColumn
from marquee.errors import MarqueeError
from marquee.yaml_files import ConfigFile, Strict


class TowerConfigError(MarqueeError):
    """The file that configures the towers cannot be used."""


_FILE = ConfigFile("MARQUEE_TWO_TOWER_FILE", "training/two_tower.yml", TowerConfigError)


class LargerTowers(Strict):
    """What takes the place of a TowerConfig's values where there is more to learn from."""

    from_interactions: int = Field(ge=1)
    embedding_size: int = Field(ge=4)
    dropout: float = Field(ge=0, lt=1)
    epochs: int = Field(ge=1)


class TowerConfig(Strict):
    """Sizes and the schedule of training; two_tower.yml says what each is, and has the values in use."""

    embedding_size: int = Field(64, ge=4)
    sequence_length: int = Field(50, ge=2)
    block_count: int = Field(2, ge=1)
    head_count: int = Field(2, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    id_dropout: float = Field(0.0, ge=0, lt=1)
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    batch_size: int = Field(48, ge=1)
    epochs: int = Field(20, ge=1)
    temporal_epochs: int = Field(8, ge=1)
    patience: int = Field(3, ge=1)
    tuning_epochs: int = Field(2, ge=1)
    full_softmax_up_to: int = Field(8192, ge=0)
    negative_count: int = Field(4096, ge=1)
    dropped_below: float = Field(0.1, ge=0, le=1)
    profile_columns: tuple[ProfileColumn, ...] = PROFILE_COLUMNS
    mixed_precision: bool = True
    embedding_tables: Literal["local", "sharded"] = "local"
    larger: LargerTowers | None = None

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        for of in (self, self.larger):
            if of is not None and of.embedding_size % self.head_count:
                raise ValueError(f"embedding_size {of.embedding_size} is no multiple of head_count {self.head_count}")
        return self

    def sized(self, interaction_count: int) -> Self:
        """The values for as many interactions to learn from."""
        if self.larger is None or interaction_count < self.larger.from_interactions:
            return self
        return self.model_copy(update=self.larger.model_dump(exclude={"from_interactions"}))


def read_config(path: Path) -> TowerConfig:
    """The towers' configuration.

    Raises:
        TowerConfigError: the file is not there, or a value is none; the message names file, field and remedy.
    """
    return _FILE.read(path, TowerConfig)
