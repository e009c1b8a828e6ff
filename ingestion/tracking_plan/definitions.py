"""What a file of the tracking plan may say: one event, or the groups of properties that several events share.

In: YAML with its lines. Out: checked definitions; an error names the file, the line, the field and the remedy.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import jsonschema_rs
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ingestion.tracking_plan.located_yaml import LocatedYaml, Place, read_located_yaml
from marquee.errors import MarqueeError

CallType = Literal["track", "page", "screen", "identify", "group", "alias"]
Purpose = Literal["personalization", "email_marketing", "advertising", "analytics"]
# the groups of dbt_project/models/groups.yml
Owner = Literal["data_engineering", "ml_engineering", "marketing"]
Schema = dict[str, JsonValue]
Words = Annotated[str, Field(min_length=1)]

_CONTENT_BY_DEFAULT = ("content_id",)


class TrackingPlanError(MarqueeError):
    """A file of the tracking plan is wrong; the message names file, line, field and remedy."""


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EventDefinition(_Written):
    """One version of one event.

    Attributes:
        call: Segment's call that carries it. A call that is not `track` has one event, named after it.
        purposes: what the event is collected for; empty where the service itself needs it.
        deprecated_names: older names of the event; it is stored under `name`.
        includes: groups of properties that it has beside its own.
        needs_one_of: properties of which at least one must be there.
        content_from: properties that may hold the id of the content; the first that is there counts.
        has_progress: whether `position` and `total_length` are the content's own, and give the watched share.
        closed: whether a property that is not named here is a violation.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    call: CallType = "track"
    version: Annotated[int, Field(ge=1, strict=True)]
    since: date
    owner: Owner
    description: Words
    purposes: tuple[Purpose, ...]
    deprecated_names: tuple[Words, ...] = ()
    includes: tuple[str, ...] = ()
    properties: dict[str, Schema] = Field(default_factory=dict)
    required: tuple[str, ...] = ()
    needs_one_of: tuple[str, ...] = ()
    content_from: tuple[str, ...] = _CONTENT_BY_DEFAULT
    has_progress: bool = False
    closed: bool = False


class PropertyGroup(_Written):
    """Properties that several events share."""

    description: Words
    properties: dict[str, Schema]
    required: tuple[str, ...] = ()


Definition = TypeVar("Definition", bound=BaseModel)


def read_groups(path: Path) -> dict[str, PropertyGroup]:
    """The groups of properties in a file, by name.

    Raises:
        TrackingPlanError: the file is wrong.
    """
    file = read_located_yaml(path)
    if not isinstance(file.value, dict):
        raise fault(file, (), "must map the name of each group to its properties", "see the file as it is shipped")
    groups = {}
    for name in file.value:
        group = _read(file, (str(name),), PropertyGroup)
        _check_schemas(file, (str(name),), group.properties, group.required, group.properties)
        groups[str(name)] = group
    return groups


def read_event(path: Path, groups: Mapping[str, PropertyGroup]) -> tuple[EventDefinition, Schema, LocatedYaml]:
    """The event that a file defines, and the JSON Schema of its properties, groups included.

    Raises:
        TrackingPlanError: the file is wrong.
    """
    file = read_located_yaml(path)
    event = _read(file, (), EventDefinition)
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for place, name in enumerate(event.includes):
        if name not in groups:
            raise fault(
                file, ("includes", place), f"there is no group {name!r}", f"take one of {', '.join(sorted(groups))}"
            )
        properties |= groups[name].properties
        required += groups[name].required
    properties |= event.properties
    _check_schemas(file, (), event.properties, event.required, properties)
    for field, names in (("needs_one_of", event.needs_one_of), ("content_from", event.content_from)):
        _check_names(file, (field,), () if names == _CONTENT_BY_DEFAULT else names, properties)
    schema: Schema = {
        "type": "object",
        "properties": dict(properties),
        "required": [*dict.fromkeys([*required, *event.required])],
    }
    if event.needs_one_of:
        schema["anyOf"] = [{"required": [name]} for name in event.needs_one_of]
    if event.closed:
        schema["additionalProperties"] = False
    return event, schema, file


def fault(file: LocatedYaml, place: Place, problem: str, remedy: str) -> TrackingPlanError:
    """The error that says what is wrong at `place` of `file`."""
    field = ".".join(str(part) for part in place) or "the file"
    return TrackingPlanError(f"{file.path}:{file.line_of(place)}: {field}: {problem}; {remedy}")


def _read(file: LocatedYaml, place: Place, model: type[Definition]) -> Definition:
    value = file.value
    for part in place:
        value = value[part] if isinstance(value, dict) else None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        # a field that is misspelt is missing too, and the misspelling is what to look at
        first = min(errors, key=lambda one: one["type"] != "extra_forbidden")
        remedy = {
            "missing": "add it",
            "extra_forbidden": f"fields are {', '.join(model.model_fields)}",
        }.get(first["type"], "correct it")
        raise fault(file, (*place, *first["loc"]), first["msg"], remedy) from error


def _check_schemas(
    file: LocatedYaml,
    place: Place,
    properties: Mapping[str, Schema],
    required: tuple[str, ...],
    known: Mapping[str, Schema],
) -> None:
    _check_names(file, (*place, "required"), required, known)
    for name, schema in properties.items():
        try:
            jsonschema_rs.validator_for(schema)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            inner = getattr(error, "instance_path", [])
            raise fault(
                file,
                (*place, "properties", name, *inner),
                f"is no JSON Schema ({getattr(error, 'message', error)})",
                "see https://json-schema.org/understanding-json-schema/reference",
            ) from error


def _check_names(file: LocatedYaml, place: Place, names: tuple[str, ...], known: Mapping[str, Schema]) -> None:
    for number, name in enumerate(names):
        if name not in known:
            remedy = "describe it under properties, or leave it out"
            raise fault(file, (*place, number), f"there is no property {name!r}", remedy)
