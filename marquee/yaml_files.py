"""Files that configure a room: YAML in, a checked pydantic model out, errors that say what to mend.

In: a path that a setting names. Out: the model; or an error that names the file, the field, the value and the remedy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from marquee.errors import MarqueeError

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A part of such a file: unknown fields are refused, and nothing changes it once it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class ConfigFile:
    """What is to be said of one kind of file when it cannot be used.

    Attributes:
        setting: the environment variable that names the file.
        shipped: the file as it comes with the project.
        error: what to raise.
    """

    setting: str
    shipped: str
    error: type[MarqueeError]

    def read(self, path: Path, model: type[Model]) -> Model:
        """The file at `path` as `model`; an empty file has every default.

        Raises:
            MarqueeError: `error`; the file is missing, is no YAML, or a field of it is wrong.
        """
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise self.error(f"{path} cannot be read ({error}); {self.setting} names the file") from error
        except yaml.YAMLError as error:
            raise self.error(f"{path} is no YAML: {error}; see {self.shipped} as shipped") from error
        try:
            return model.model_validate({} if found is None else found)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "the file"
            value = "" if first["type"] == "missing" else f", found {first['input']!r}"
            raise self.error(f"{path}: {field}: {first['msg']}{value}; see {self.shipped} as shipped") from error
