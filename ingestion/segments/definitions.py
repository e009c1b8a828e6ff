"""The declared segments: read from the yml of fct_segment_memberships, and checked word by word.

In: the file, the profile's fields and the tracking plan. Out: frozen `Definitions`. Every fault of the file is named
with its line, place, value and remedy, all at once.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ingestion.segments.conditions import Condition
from ingestion.segments.faults import Faults, SegmentError, nearest, shown
from ingestion.segments.fields import PROFILE_FILE, read_fields
from ingestion.segments.fields import Field as ProfileField
from ingestion.segments.reading import Reader
from ingestion.tracking_plan.located_yaml import LocatedYaml, Place, read_located_yaml
from ingestion.tracking_plan.plan import load_plan
from marquee.settings import PROJECT_ROOT

SEGMENTS_FILE = PROJECT_ROOT / "dbt_project" / "models" / "marts" / "segments.yml"

Kind = Literal["audience", "message", "analysis"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="lower case letters, digits and _")]
Words = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^{}]*$", description="text without braces")]

# the macro segment_purpose has the same
_PURPOSES: Mapping[Kind, str] = {
    "audience": "advertising",
    "message": "email_marketing",
    "analysis": "personalization",
}


class SegmentGroup(BaseModel):
    """Segments that belong together; where it is exclusive, nobody is in two of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    title: Words
    is_exclusive: bool = Field(description="true or false")


class _Declared(BaseModel):
    """What the file says of a segment; the description of a field is the remedy in messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    title: Words
    description: Words
    owner: Literal["data_engineering", "ml_engineering", "marketing"] = Field(
        description="a group of dbt_project/models/groups.yml: data_engineering, ml_engineering or marketing"
    )
    kind: Kind = Field(description="audience, message or analysis")
    status: Literal["draft", "live"] = Field(description="draft or live")
    group: str | None = Field(default=None, description="the name of a group under segment_groups")
    priority: int | None = Field(default=None, ge=0, le=1000, description="a whole number to 1000; the highest wins")
    conditions: dict[str, JsonValue] = Field(description="all: […], any: […], not: {…}, {field: …} or {did: …}")


class Segment(_Declared):
    """A segment with its conditions as a tree."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    condition: Condition

    @property
    def purpose(self) -> str:
        """What its members must have agreed to."""
        return _PURPOSES[self.kind]

    @property
    def is_live(self) -> bool:
        return self.status == "live"


class Definitions(BaseModel):
    """Every declared segment, in the order of the file."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    segments: tuple[Segment, ...]
    groups: tuple[SegmentGroup, ...]
    fields: dict[str, ProfileField]

    @property
    def live(self) -> tuple[Segment, ...]:
        return tuple(segment for segment in self.segments if segment.is_live)

    @property
    def exclusive_groups(self) -> frozenset[str]:
        return frozenset(group.name for group in self.groups if group.is_exclusive)

    def find(self, name: str) -> Segment:
        """The segment called `name`.

        Raises:
            SegmentError: there is none.
        """
        found = next((segment for segment in self.segments if segment.name == name), None)
        if found is None:
            raise SegmentError(f"there is no segment {name!r}; {nearest(name, (one.name for one in self.segments))}")
        return found


@cache
def load_segments(path: Path = SEGMENTS_FILE, profile_file: Path = PROFILE_FILE) -> Definitions:
    """Read and check a file of segments.

    Raises:
        SegmentError: something in it is wrong; one line a fault.
        UnreadableYamlError: it is no YAML.
    """
    file = read_located_yaml(path)
    root = _meta_place(file)
    faults = Faults(file, root)
    fields = read_fields(profile_file)
    meta = _at(file, root)
    groups = _read_all(faults, (*root, "segment_groups"), meta.get("segment_groups", []), SegmentGroup)
    declared = _read_all(faults, (*root, "segments"), meta.get("segments", []), _Declared)
    reader = Reader(fields, _event_names(), faults)
    segments = tuple(segment for place, one in declared if (segment := _with_condition(one, reader, place)) is not None)
    _check_names(faults, groups)
    _check_names(faults, declared)
    _check_groups(faults, {group.name: group for _, group in groups}, declared)
    faults.raise_if_any()
    return Definitions(segments=segments, groups=tuple(group for _, group in groups), fields=fields)


def load_draft(path: Path, definitions: Definitions) -> Segment:
    """Read one segment that stands in a file of its own, to be previewed beside the declared ones.

    Raises:
        SegmentError: something in it is wrong; one line a fault.
        UnreadableYamlError: it is no YAML.
    """
    file = read_located_yaml(path)
    faults = Faults(file, ())
    read = _read_all(faults, (), [file.value], _Declared, is_single=True)
    draft = None
    for place, one in read:
        others = [((), other) for other in definitions.segments if other.name != one.name]
        _check_groups(faults, {group.name: group for group in definitions.groups}, [*others, (place, one)])
        draft = _with_condition(one, Reader(definitions.fields, _event_names(), faults), place)
    faults.raise_if_any()
    assert draft is not None
    return draft


Read = TypeVar("Read", bound=BaseModel)


def _read_all(
    faults: Faults, place: Place, values: object, model: type[Read], *, is_single: bool = False
) -> list[tuple[Place, Read]]:
    if not isinstance(values, list):
        faults.add(place, f"{shown(values)} is no list", "write one entry a line, each after a dash")
        return []
    read: list[tuple[Place, Read]] = []
    for number, value in enumerate(values):
        at = place if is_single else (*place, number)
        try:
            read.append((at, model.model_validate(value)))
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_context=False):
                _add(faults, at, fault["loc"], fault["type"], fault["msg"], fault["input"], model)
    return read


def _add(
    faults: Faults, place: Place, loc: tuple[str | int, ...], kind: str, message: str, value: object, model: type[Read]
) -> None:
    field = str(loc[0]) if loc else ""
    # beyond its first step the path names pydantic's alternatives, which are nothing in the file
    at = (*place, *loc[:1])
    if kind == "missing":
        faults.add(at, "is missing", f"write {model.model_fields[field].description or 'it'}")
    elif kind == "extra_forbidden":
        faults.add(at, "is no field of it", nearest(field, model.model_fields))
    elif field in model.model_fields:
        faults.add(at, f"is {shown(value)}", f"write {model.model_fields[field].description or 'text'}")
    else:
        faults.add(at, f"{shown(value)}: {message}", f"fields are {', '.join(model.model_fields)}")


def _with_condition(declared: _Declared, reader: Reader, place: Place) -> Segment | None:
    condition = reader.condition(declared.conditions, (*place, "conditions"))
    return None if condition is None else Segment(**dict(declared), condition=condition)


def _check_names(faults: Faults, entries: list[tuple[Place, SegmentGroup]] | list[tuple[Place, _Declared]]) -> None:
    seen: set[str] = set()
    for place, entry in entries:
        if entry.name in seen:
            faults.add((*place, "name"), f"{entry.name} stands here a second time", "give it another name")
        seen.add(entry.name)


def _check_groups(faults: Faults, groups: Mapping[str, SegmentGroup], declared: list[tuple[Place, _Declared]]) -> None:
    taken: dict[tuple[str, int], str] = {}
    for place, segment in declared:
        if segment.group is None:
            if segment.priority is not None:
                faults.add((*place, "priority"), "means nothing without a group", "name the group, or leave it out")
        elif segment.group not in groups:
            faults.add((*place, "group"), f"there is no group {shown(segment.group)}", nearest(segment.group, groups))
        elif segment.priority is None:
            faults.add(place, "has a group and no priority", "write priority: a whole number; the highest wins")
        else:
            rival = taken.setdefault((segment.group, segment.priority), segment.name)
            if rival != segment.name and groups[segment.group].is_exclusive:
                problem = f"{rival} has priority {segment.priority} in {segment.group} too"
                faults.add((*place, "priority"), problem, "give each its own: the highest wins")


@cache
def _event_names() -> dict[str, str]:
    return {name: versions.newest.definition.name for name, versions in load_plan().tracks.items()}


def _meta_place(file: LocatedYaml) -> Place:
    """Where the file keeps its segments: under the model that has them."""
    models = file.value.get("models") if isinstance(file.value, dict) else None
    for number, _ in enumerate(models if isinstance(models, list) else []):
        place: Place = ("models", number, "config", "meta")
        if (*place, "segments") in file.lines:
            return place
    raise SegmentError(f"{file.path}:1: declares no segments; write them under models, config, meta, segments")


def _at(file: LocatedYaml, place: Place) -> dict[str, object]:
    value = file.value
    for part in place:
        value = value[part]  # type: ignore[index]  # the file's lines say that it is there
    assert isinstance(value, dict)
    return value
