"""What a segment asks for, as a tree of small values; reading.py makes them from a file, evaluation.py answers them."""

from dataclasses import dataclass
from typing import TypeAlias

from ingestion.segments.fields import Field

Scalar: TypeAlias = str | int | float | bool
Asked: TypeAlias = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True)
class AllOf:
    """Every one holds."""

    inner: tuple["Condition", ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one holds."""

    inner: tuple["Condition", ...]


@dataclass(frozen=True)
class Not:
    """It does not hold."""

    inner: "Condition"


@dataclass(frozen=True)
class FieldCondition:
    """A field of the profile, or of a field with numbers by category the number of one, compared with `asked`."""

    field: Field
    operator: str
    asked: Asked
    category: str | None = None


@dataclass(frozen=True)
class PropertyCondition:
    """A property of an event, compared with `asked`."""

    name: str
    operator: str
    asked: Asked


@dataclass(frozen=True)
class EventCondition:
    """An event happened `at_least` so often in the last days, or less often where `is_wanted` is false."""

    event: str
    call: str
    at_least: int
    within_days: int
    where: tuple[PropertyCondition, ...]
    is_wanted: bool


Condition: TypeAlias = AllOf | AnyOf | Not | FieldCondition | EventCondition


def fields_of(condition: Condition) -> frozenset[str]:
    """Names of the profile's fields that a tree asks for."""
    match condition:
        case AllOf(inner) | AnyOf(inner):
            return frozenset().union(*(fields_of(one) for one in inner))
        case Not(negated):
            return fields_of(negated)
        case FieldCondition(field):
            return frozenset({field.name})
        case EventCondition():
            return frozenset()


def events_of(condition: Condition) -> tuple[EventCondition, ...]:
    """Conditions on events in a tree."""
    match condition:
        case AllOf(inner) | AnyOf(inner):
            return tuple(found for one in inner for found in events_of(one))
        case Not(negated):
            return events_of(negated)
        case EventCondition():
            return (condition,)
        case FieldCondition():
            return ()
