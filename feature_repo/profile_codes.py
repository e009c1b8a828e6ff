"""What is known of a subscriber beside what was consumed, as numbers: one definition, for training and for requests.

In: declared properties (age band, region, ...) with their values as text. Out: a code a property; 0 stands for what is
unknown, or is said of too few to learn from.

Legend: U subscribers, F properties.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# its file in an artefact
PROFILES = "profile_codes.json"
# a value of fewer subscribers tells of persons, not of a group
_LEAST_SUBSCRIBERS = 20
_UNKNOWN = "unknown"
# what may be known: what changes seldom. Training has it as it is now, of a past day, too; what changes often, such as
# the plan, it would know before it was so
ProfileColumn = Literal["age_band", "gender", "occupation", "region"]
PROFILE_COLUMNS: tuple[ProfileColumn, ...] = get_args(ProfileColumn)


@dataclass(frozen=True)
class ProfileCodes:
    """Numbers from 1 on, each of one value of one property."""

    values: Mapping[str, tuple[str, ...]]

    @classmethod
    def none(cls) -> Self:
        """Of no property: everybody's profile is unknown."""
        return cls({})

    @classmethod
    def of(cls, profiles: pd.DataFrame) -> Self:
        """Of every column of U `profiles` the values that enough subscribers have."""
        counts = {name: profiles[name].dropna().astype(str).value_counts() for name in profiles.columns}
        return cls(
            {name: tuple(sorted(set(of[of >= _LEAST_SUBSCRIBERS].index) - {_UNKNOWN})) for name, of in counts.items()}
        )

    # a request asks twice
    @cached_property
    def _codes(self) -> dict[tuple[str, str], int]:
        pairs = [(name, value) for name, values in self.values.items() for value in values]
        return {pair: code for code, pair in enumerate(pairs, start=1)}

    @property
    def size(self) -> int:
        """How many codes there are, 0 among them."""
        return 1 + sum(map(len, self.values.values()))

    @property
    def width(self) -> int:
        """F, at least 1."""
        return max(len(self.values), 1)

    def codes_of(self, profile: Mapping[str, str | None]) -> NDArray[np.int64]:
        """Of one subscriber; of no property, one code 0.  # (F,)"""
        codes = self._codes
        found = [codes.get((name, str(profile.get(name))), 0) for name in self.values]
        return np.array(found or [0], dtype=np.int64)

    def codes(self, profiles: pd.DataFrame) -> NDArray[np.int64]:
        """Of U subscribers.  # (U, F)"""
        codes = self._codes
        columns = [
            profiles[name].astype(str).map({value: codes[name, value] for value in values}).fillna(0)
            for name, values in self.values.items()
        ]
        if not columns:
            return np.zeros((len(profiles), 1), dtype=np.int64)
        return np.stack(columns, axis=1).astype(np.int64)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(dict(self.values)))

    @classmethod
    def of_artefact(cls, folder: Path, files: Collection[str]) -> Self:
        """Of a version with these `files`; of no property, where its tower knows nothing of profiles."""
        return cls.load(folder / PROFILES) if PROFILES in files else cls.none()

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls({name: tuple(values) for name, values in json.loads(path.read_text()).items()})
