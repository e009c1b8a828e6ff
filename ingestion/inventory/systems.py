"""The declared part of the inventory: the systems of systems.yml, checked against the raw tables that they fill.

In: the file. Out: `System` values. Every column that a load fills must be declared with its class of personal data, so
that a new one cannot be shown before somebody has thought about it.
"""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ingestion import raw_tables
from marquee.errors import MarqueeError

SYSTEMS_FILE = Path(__file__).with_name("systems.yml")

Pii = Literal["none", "indirect", "direct", "sensitive"]
# belong to every row and are counted apart
_OF_THE_LOAD = {"consent_purposes", "is_simulated", "is_deleted"}


class InventoryError(MarqueeError):
    """systems.yml does not describe what the loads fill."""


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Field(_Declared):
    """One column; `identifier` is the kind of identity in it, `identifier_kind_in` the column that says the kind."""

    pii: Pii
    identifier: str | None = None
    identifier_kind_in: str | None = None


class Stream(_Declared):
    """What one source puts into one raw table.

    Attributes:
        is_only: rows of exactly this source; else all rows that no other stream claims so.
    """

    source: str
    relation: str
    fields: dict[str, Field]
    is_only: bool = False


class System(_Declared):
    """A system of the company.

    Attributes:
        expected_hours: how often something should come.
        is_about_people: whether a row is about somebody, so that consent and identity matter.
        is_known_by_us: whether rows name people by our own id: nothing is left to resolve.
    """

    name: str
    title: str
    about: str
    owner: str
    expected_hours: float
    streams: list[Stream]
    is_about_people: bool = True
    is_known_by_us: bool = False


@cache
def load_systems(path: Path = SYSTEMS_FILE) -> tuple[System, ...]:
    """The declared systems.

    Raises:
        InventoryError: the file cannot be read, or leaves a loaded column undeclared.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        systems = tuple(System.model_validate(system) for system in document["systems"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise InventoryError(f"{path.name} cannot be read: {error}") from error
    for system in systems:
        for stream in system.streams:
            _check(stream, path)
    return systems


def shared_kinds(systems: tuple[System, ...]) -> list[str]:
    """Kinds of identifiers under which more than one system knows people."""
    kinds: dict[str, set[str]] = {}
    for system in systems:
        for stream in system.streams:
            for field in stream.fields.values():
                if field.identifier is not None:
                    kinds.setdefault(field.identifier, set()).add(system.name)
    return sorted(kind for kind, names in kinds.items() if len(names) > 1)


def _check(stream: Stream, path: Path) -> None:
    tables = {table.name: table for table in raw_tables.ALL}
    if stream.relation not in tables:
        raise InventoryError(f"{path.name}: {stream.source} names raw.{stream.relation}, which no load fills")
    columns = tables[stream.relation].columns
    if unknown := [name for name in stream.fields if name not in columns]:
        raise InventoryError(f"{path.name}: raw.{stream.relation} has no column {', '.join(unknown)}; take it out")
    # a stream that has part of a table to itself may leave out what it never fills
    undeclared = [name for name in columns if name not in stream.fields and name not in _OF_THE_LOAD]
    if undeclared and not stream.is_only:
        raise InventoryError(
            f"{path.name}: say under {stream.source} what {', '.join(undeclared)} of raw.{stream.relation} says of "
            "people (pii: none, indirect, direct or sensitive)"
        )
