"""The texts that stand beside each choice, by version: what somebody agreed to must be readable years later.

In: texts.yml. Out: `ConsentTexts` of the newest version, whose name is stored with every choice.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from marquee.errors import MarqueeError

TEXTS_FILE = Path(__file__).resolve().parent / "texts.yml"


class ConsentTextError(MarqueeError):
    """The file of texts is wrong."""


class Purpose(BaseModel):
    """A purpose for which data may be used, in a subscriber's words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["personalization", "email_marketing", "advertising", "analytics"]
    title: str
    explanation: str
    without: str


class _Version(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str = Field(min_length=1)
    purposes: tuple[Purpose, ...] = Field(min_length=4, max_length=4)


@dataclass(frozen=True)
class ConsentTexts:
    """One version of the texts.

    Attributes:
        version: its name, and after a `+` the first eight digits of the SHA-256 of what it says.
    """

    version: str
    purposes: tuple[Purpose, ...]


def newest_texts(path: Path = TEXTS_FILE) -> ConsentTexts:
    """The version that is shown.

    Raises:
        ConsentTextError: the file is not what its head says.
    """
    try:
        versions = TypeAdapter(list[_Version]).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise ConsentTextError(f"{path} cannot be read ({error}); compare it with the version as shipped") from error
    names = [one.version for one in versions]
    if not versions or len(set(names)) != len(names):
        raise ConsentTextError(f"{path} needs at least one version, each with a name of its own; found {names}")
    newest = versions[-1]
    digest = hashlib.sha256(repr([tuple(purpose) for purpose in newest.purposes]).encode()).hexdigest()[:8]
    return ConsentTexts(f"{newest.version}+{digest}", newest.purposes)
