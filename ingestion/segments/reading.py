"""From what a file says to conditions: each word is compared with the profile's fields, operators and tracked events.

In: a value read from YAML, and its place in the file. Out: a `Condition`; what is wrong goes to `Faults`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ingestion.segments.conditions import (
    AllOf,
    AnyOf,
    Asked,
    Condition,
    EventCondition,
    FieldCondition,
    Not,
    PropertyCondition,
    Scalar,
)
from ingestion.segments.faults import Faults, nearest, shown
from ingestion.segments.fields import EVENT_COLUMNS, OPERATORS, PROPERTY_OPERATORS, Field, Kind
from ingestion.tracking_plan.located_yaml import Place

_SHAPES = "all: […], any: […], not: {…}, {field: …}, {did: …} or {did_not: …}"
_CALLS = ("track", "page", "screen")
_EVENT_WORDS = frozenset({"did", "did_not", "call", "at_least", "within_days", "where"})
_LONGEST_WINDOW = 3650
_LONGEST_TEXT = 500
_DEEPEST = 20

# what follows an operator: how many values, of which kind
_DAYS = frozenset({"within_days", "older_than_days", "due_within_days"})
_SEVERAL = frozenset({"in", "not_in"})
_KIND_WORDS = {"text": "text in quotes", "boolean": "true or false", "number": "a number"}


@dataclass(frozen=True)
class Reader:
    """Reads conditions against what is known.

    Attributes:
        event_names: what each tracked event is stored as, by every name it may be sent under.
    """

    fields: Mapping[str, Field]
    event_names: Mapping[str, str]
    faults: Faults

    def condition(self, value: object, place: Place, depth: int = 0) -> Condition | None:
        """The condition that stands at `place`; None where it is wrong."""
        if not isinstance(value, dict) or depth > _DEEPEST:
            self.faults.add(place, f"{shown(value)} is no condition", f"write {_SHAPES}, at most {_DEEPEST} deep")
            return None
        shapes = [word for word in ("all", "any", "not", "field", "did", "did_not") if word in value]
        if len(shapes) != 1:
            self.faults.add(place, f"{shown(value)} is no one condition", f"write one of {_SHAPES}")
            return None
        (shape,) = shapes
        if shape in ("all", "any", "not"):
            return self._tree(shape, value, place, depth)
        if shape == "field":
            return self._field(value, place)
        return self._event(shape, value, place)

    def _tree(self, shape: str, value: Mapping[str, object], place: Place, depth: int) -> Condition | None:
        self._only(value, {shape}, place)
        below = value[shape]
        if shape == "not":
            negated = self.condition(below, (*place, shape), depth + 1)
            return None if negated is None else Not(negated)
        if not isinstance(below, list) or not below:
            self.faults.add((*place, shape), f"{shown(below)} is no list of conditions", "write at least one")
            return None
        read = [self.condition(one, (*place, shape, number), depth + 1) for number, one in enumerate(below)]
        inner = tuple(one for one in read if one is not None)
        return AllOf(inner) if shape == "all" else AnyOf(inner)

    def _field(self, value: Mapping[str, object], place: Place) -> Condition | None:
        name = value["field"]
        field = self.fields.get(str(name))
        if field is None:
            problem = f"{shown(name)} is no field of the profile"
            self.faults.add((*place, "field"), problem, nearest(name, self.fields))
            return None
        if field.names_a_person:
            problem = f"{field.name} names a person"
            self.faults.add((*place, "field"), problem, "ask for something that many share, such as is_known")
            return None
        category = value.get("category")
        if (field.kind == "shares") != isinstance(category, str):
            problem = "needs a category" if field.kind == "shares" else "has no categories"
            self.faults.add(
                (*place, "field"), f"{field.name} {problem}", "write {field: genre_affinities, category: …}"
            )
            return None
        found = self._comparison(value, {"field", "category"}, OPERATORS[field.kind], field.kind, place)
        return None if found is None else FieldCondition(field, *found, None if category is None else str(category))

    def _event(self, shape: str, value: Mapping[str, object], place: Place) -> Condition | None:
        self._only(value, _EVENT_WORDS, place)
        event, call = value[shape], value.get("call", "track")
        if call not in _CALLS:
            self.faults.add((*place, "call"), f"{shown(call)} is no call with an event", nearest(call, _CALLS))
        elif not self._is_text(event):
            self.faults.add((*place, shape), f"{shown(event)} is no name of an event", "write its name as text")
        elif call == "track" and self.event_names.get(str(event)) != event:
            stored_as = self.event_names.get(str(event))
            remedy = nearest(event, self.event_names.values()) if stored_as is None else f"it is stored as {stored_as}"
            self.faults.add((*place, shape), f"the tracking plan has no event {shown(event)}", remedy)
        at_least = self._count(value, "at_least", place, 1, 1_000_000)
        within_days = self._count(value, "within_days", place, None, _LONGEST_WINDOW)
        where = value.get("where", [])
        if not isinstance(where, list):
            self.faults.add((*place, "where"), f"{shown(where)} is no list", "write [{property: …, is: …}]")
            where = []
        tests = [self._property(test, (*place, "where", number)) for number, test in enumerate(where)]
        if at_least is None or within_days is None:
            return None
        kept = tuple(test for test in tests if test is not None)
        return EventCondition(str(event), str(call), at_least, within_days, kept, shape == "did")

    def _property(self, value: object, place: Place) -> PropertyCondition | None:
        if not isinstance(value, dict) or not self._is_text(value.get("property")):
            self.faults.add(place, f"{shown(value)} is no condition on a property", "write {property: …, is: …}")
            return None
        name = str(value["property"])
        kind = EVENT_COLUMNS.get(name)
        operators = PROPERTY_OPERATORS if kind is None else OPERATORS[kind]
        found = self._comparison(value, {"property"}, operators, kind, place)
        return None if found is None else PropertyCondition(name, *found)

    def _comparison(
        self, value: Mapping[str, object], others: set[str], operators: tuple[str, ...], kind: Kind | None, place: Place
    ) -> tuple[str, Asked] | None:
        words = [word for word in value if word not in others]
        if len(words) != 1 or words[0] not in operators:
            wrong = next((word for word in words if word not in operators), None)
            problem = f"{wrong} is no operator here" if wrong else f"has {len(words)} operators, not one"
            remedy = nearest(wrong, operators) if wrong else f"take one of {', '.join(operators)}"
            self.faults.add((*place, wrong) if wrong else place, problem, remedy)
            return None
        operator = words[0]
        asked = self._asked(operator, value[operator], kind, (*place, operator))
        return None if asked is None else (operator, asked)

    def _asked(self, operator: str, value: object, kind: Kind | None, place: Place) -> Asked | None:
        if operator in _DAYS:
            return self._whole(value, place, _LONGEST_WINDOW)
        if operator in _SEVERAL:
            if isinstance(value, list) and value:
                read = [self._scalar(one, kind, (*place, number)) for number, one in enumerate(value)]
                return tuple(one for one in read if one is not None)
            self.faults.add(place, f"{shown(value)} is no list of values", "write [first, second]")
            return None
        if operator == "between":
            if isinstance(value, list) and len(value) == 2:
                low, high = (self._scalar(one, "number", (*place, number)) for number, one in enumerate(value))
                return None if low is None or high is None else (low, high)
            self.faults.add(place, f"{shown(value)} is no range", "write [lowest, highest]; both belong to it")
            return None
        if operator in ("at_least", "at_most"):
            return self._scalar(value, "number", place)
        if operator == "is_set":
            return self._scalar(value, "boolean", place)
        return self._scalar(value, "text" if kind == "list" else kind, place)

    def _scalar(self, value: object, kind: Kind | None, place: Place) -> Scalar | None:
        if isinstance(value, bool):
            found: Kind | None = "boolean"
        elif isinstance(value, int | float) and math.isfinite(value):
            found = "number"
        else:
            found = "text" if self._is_text(value) else None
        if found is None or (kind is not None and found != kind):
            wanted = _KIND_WORDS.get(str(kind), "text in quotes, a number, true or false")
            self.faults.add(place, f"{shown(value)} is not {wanted}", f"write {wanted}")
            return None
        return value  # type: ignore[return-value]  # found says that it is one

    def _is_text(self, value: object) -> bool:
        # dbt would take braces for a template of its own
        return (
            isinstance(value, str)
            and 0 < len(value) <= _LONGEST_TEXT
            and value.isprintable()
            and not any(braces in value for braces in ("{{", "{%", "{#"))
        )

    def _count(
        self, value: Mapping[str, object], word: str, place: Place, default: int | None, highest: int
    ) -> int | None:
        if word not in value and default is None:
            self.faults.add(place, f"{word} is missing", "events are counted over a span of days: write within_days: 7")
            return None
        return self._whole(value.get(word, default), (*place, word), highest)

    def _whole(self, value: object, place: Place, highest: int) -> int | None:
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= highest:
            return value
        self.faults.add(place, f"{shown(value)} is no whole number from 1 to {highest}", "correct it")
        return None

    def _only(self, value: Mapping[str, object], words: set[str] | frozenset[str], place: Place) -> None:
        for word in value:
            if word not in words:
                self.faults.add((*place, word), f"{word} does not belong here", nearest(word, words))
