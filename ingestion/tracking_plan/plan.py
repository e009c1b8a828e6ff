"""The tracking plan as a whole: every version of every event, compiled once, and looked up for each call.

In: the folder with the plan's files. Out: `TrackingPlan`. Versions of an event live side by side: a call says which it
means in `context.schemaVersion`, and means the newest when it says nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jsonschema_rs

from ingestion.tracking_plan.definitions import EventDefinition, Schema, fault, read_event, read_groups
from ingestion.tracking_plan.located_yaml import Place

PLAN_FOLDER = Path(__file__).resolve().parent
_GROUPS_FILE = "property_groups.yml"
_NEEDED_IDS = {"alias": "previousId", "group": "groupId"}


@dataclass(frozen=True, eq=False)
class PlannedEvent:
    """One version of an event with its compiled schema; `area` is the folder in which it is described."""

    area: str
    definition: EventDefinition
    schema: Schema
    validator: jsonschema_rs.Validator
    version: str

    # both are asked for with every event
    @cached_property
    def said_field(self) -> str:
        """The field of a call that the schema is about."""
        return "traits" if self.definition.call in ("identify", "group") else "properties"

    @cached_property
    def needed_id(self) -> str | None:
        """The field of a call without which it says nothing."""
        return _NEEDED_IDS.get(self.definition.call)


@dataclass(frozen=True, eq=False)
class Versions:
    """The versions of one event, by their number as text."""

    newest: PlannedEvent
    by_number: Mapping[str, PlannedEvent]


@dataclass(frozen=True, eq=False)
class TrackingPlan:
    """Track events by name (deprecated names too), and the other calls by type."""

    events: tuple[PlannedEvent, ...]
    tracks: Mapping[str, Versions]
    calls: Mapping[str, Versions]


def load_plan(folder: Path = PLAN_FOLDER) -> TrackingPlan:
    """Read, check and compile every file under `folder`/events, whose folders are areas of interest.

    Raises:
        TrackingPlanError: a file is wrong, or two files say the same; the message names file, line, field and remedy.
        UnreadableYamlError: a file is no YAML.
    """
    groups = read_groups(folder / _GROUPS_FILE)
    versions: dict[tuple[str, str, int], Path] = {}
    owners: dict[tuple[str, str], tuple[str, Path]] = {}
    events: list[PlannedEvent] = []
    for path in sorted((folder / "events").rglob("*.yml")):
        event, schema, file = read_event(path, groups)
        if event.call != "track" and event.name != event.call:
            raise fault(file, ("name",), f"a {event.call} call is named after itself", f"write {event.call}")
        other = versions.setdefault((event.call, event.name, event.version), path)
        if other != path:
            problem = f"version {event.version} of {event.name} stands in {other.name} too"
            raise fault(file, ("version",), problem, "give it another version")
        for place, name in _names(event):
            owner, other = owners.setdefault((event.call, name), (event.name, path))
            if owner != event.name:
                raise fault(file, place, f"{name!r} means {owner} in {other.name}", "take another name")
        events.append(
            PlannedEvent(path.parent.name, event, schema, jsonschema_rs.validator_for(schema), str(event.version))
        )
    return TrackingPlan(
        tuple(sorted(events, key=lambda event: (event.definition.name.lower(), -event.definition.version))),
        _versions(event for event in events if event.definition.call == "track"),
        _versions(event for event in events if event.definition.call != "track"),
    )


def _names(event: EventDefinition) -> list[tuple[Place, str]]:
    older: list[tuple[Place, str]] = [
        (("deprecated_names", number), name) for number, name in enumerate(event.deprecated_names)
    ]
    return [(("name",), event.name), *older]


def _versions(events: Iterable[PlannedEvent]) -> dict[str, Versions]:
    by_name: dict[str, dict[str, PlannedEvent]] = {}
    for event in sorted(events, key=lambda event: event.definition.version):
        for name in (event.definition.name, *event.definition.deprecated_names):
            by_name.setdefault(name, {})[event.version] = event
    return {name: Versions(next(reversed(versions.values())), versions) for name, versions in by_name.items()}
