"""Whether one profile in memory meets a segment: what macros/segments.sql says in SQL, said in Python.

In: a tree of conditions, the profile's fields, the subscriber's events and the present. Out: yes or no. Nothing is
ever unknown: a field that is not set is none of the values asked for. A property test holds SQL and Python equal.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from ingestion.segments.conditions import (
    AllOf,
    AnyOf,
    Asked,
    Condition,
    EventCondition,
    FieldCondition,
    Not,
    PropertyCondition,
)
from ingestion.segments.definitions import Definitions, Segment
from ingestion.segments.fields import EVENT_COLUMNS

Profile = Mapping[str, object]


@dataclass(frozen=True)
class Event:
    """What conditions can ask of an event."""

    event_type: str
    event: str | None
    occurred_at: datetime
    content_id: str | None
    device_type: str | None
    watched_fraction: float | None
    properties: object


def segments_of(
    definitions: Definitions,
    segments: Sequence[Segment],
    profile: Profile,
    permitted: Set[str],
    events: Sequence[Event],
    now: datetime,
) -> set[str]:
    """Names of the `segments` that a profile is in: those it meets and agreed to, of exclusive groups the highest."""
    found: set[str] = set()
    taken: set[str] = set()
    for segment in sorted(segments, key=lambda segment: -(segment.priority or 0)):
        group = segment.group if segment.group in definitions.exclusive_groups else None
        if segment.purpose not in permitted or group in taken:
            continue
        if holds(segment.condition, profile, events, now):
            found.add(segment.name)
            if group is not None:
                taken.add(group)
    return found


def holds(condition: Condition, profile: Profile, events: Sequence[Event], now: datetime) -> bool:
    """Whether the conditions hold for a profile with these events at `now`."""
    match condition:
        case AllOf(inner):
            return all(holds(one, profile, events, now) for one in inner)
        case AnyOf(inner):
            return any(holds(one, profile, events, now) for one in inner)
        case Not(negated):
            return not holds(negated, profile, events, now)
        case EventCondition():
            return (_count(condition, events, now) >= condition.at_least) == condition.is_wanted
        case FieldCondition(field, operator, asked, category):
            value = profile[field.name]
            if category is not None:
                value = _number_of(value, category)
            return _compares(value, operator, asked, now)


def _number_of(shares: object, category: str) -> float:
    number = shares.get(category) if isinstance(shares, Mapping) else None
    return 0.0 if number is None else float(str(number))


def _count(condition: EventCondition, events: Sequence[Event], now: datetime) -> int:
    since = now - timedelta(days=condition.within_days)
    return sum(
        event.event == condition.event
        and event.event_type == condition.call
        and since < event.occurred_at <= now
        and all(_property_holds(test, event, now) for test in condition.where)
        for event in events
    )


def _property_holds(test: PropertyCondition, event: Event, now: datetime) -> bool:
    if test.name in EVENT_COLUMNS:
        return _compares(getattr(event, test.name), test.operator, test.asked, now)
    value = event.properties.get(test.name) if isinstance(event.properties, Mapping) else None
    if test.operator in ("is", "is_not", "in", "not_in"):
        several = test.asked if isinstance(test.asked, tuple) else (test.asked,)
        # of JSON, 1 is not true and "1" is not 1
        is_among = any(_json_kind(value) == _json_kind(one) and value == one for one in several)
        return is_among == (test.operator in ("is", "in"))
    return _compares(value if _json_kind(value) == "number" else None, test.operator, test.asked, now)


def _json_kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "other"


def _compares(value: object, operator: str, asked: Asked, now: datetime) -> bool:
    if isinstance(value, Decimal):
        value = float(value)
    match operator, asked:
        case "is", _:
            return value == asked
        case "is_not", _:
            return value != asked
        case "in", tuple():
            return value in asked
        case "not_in", tuple():
            return value not in asked
        case "is_set", _:
            return (value is not None) == asked
        case "has", _:
            return isinstance(value, Sequence) and asked in value
        case "has_not", _:
            return not (isinstance(value, Sequence) and asked in value)
        case "within_days" | "older_than_days" | "due_within_days", int():
            return isinstance(value, datetime) and _lies(value, operator, timedelta(days=asked), now)
        case _:
            return isinstance(value, int | float) and _measures(value, operator, asked)


def _lies(moment: datetime, operator: str, span: timedelta, now: datetime) -> bool:
    if operator == "within_days":
        return now - span < moment <= now
    if operator == "due_within_days":
        return now < moment <= now + span
    return moment <= now - span


def _measures(number: float, operator: str, asked: Asked) -> bool:
    match operator, asked:
        case "at_least", int() | float():
            return number >= asked
        case "at_most", int() | float():
            return number <= asked
        case "between", (int() | float() as low, int() | float() as high):
            return low <= number <= high
    raise ValueError(f"the operator {operator} with {asked!r} came past the reading of the file")
