"""The tracking plan as a page: for those who send events, and for those who own them.

In: the plan. Out: one HTML document that needs nothing else, for the reports folder, the collector and `marquee events
plan --html`.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from pydantic import JsonValue

from ingestion.tracking_plan.definitions import Schema
from ingestion.tracking_plan.plan import PlannedEvent, TrackingPlan
from marquee.settings import Settings

_TEMPLATES = Path(__file__).resolve().parent
_FILE = "tracking-plan.html"
_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "{} characters or more",
    "maxLength": "{} characters or less",
    "pattern": "like {}",
    "format": "{}",
}
_EXAMPLES: dict[str, JsonValue] = {
    "string": "…",
    "number": 12.5,
    "integer": 12,
    "boolean": True,
    "array": ["…"],
    "object": {},
}


@dataclass(frozen=True)
class ShownProperty:
    """A row of an event's table."""

    name: str
    kind: str
    limits: str
    about: str
    is_required: bool


@dataclass(frozen=True)
class ShownEvent:
    """One version of one event as the page shows it; `words` is what a search looks at."""

    anchor: str
    planned: PlannedEvent
    is_newest: bool
    properties: tuple[ShownProperty, ...]
    example: str
    words: str


def plan_page(plan: TrackingPlan) -> str:
    """The page."""
    templates = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    templates.filters["with_code"] = _with_code
    areas: dict[str, list[ShownEvent]] = {}
    for event in plan.events:
        areas.setdefault(event.area, []).append(_shown(event, plan))
    return templates.get_template("page.html").render(
        areas=dict(sorted(areas.items())),
        event_count=len(plan.events),
        property_count=len({name for event in plan.events for name in _properties(event.schema)}),
        purposes=sorted({purpose for event in plan.events for purpose in event.definition.purposes}),
    )


def write_plan_page(plan: TrackingPlan, settings: Settings) -> Path:
    """Put the page among the reports, where the app serves it."""
    path = settings.reports_dir / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(plan_page(plan), encoding="utf-8")
    return path


def _shown(event: PlannedEvent, plan: TrackingPlan) -> ShownEvent:
    said = event.definition
    versions = (plan.tracks if said.call == "track" else plan.calls)[said.name]
    required = _required(event.schema)
    properties = tuple(_property(name, schema, name in required) for name, schema in _properties(event.schema).items())
    ordered = sorted(properties, key=lambda shown: not shown.is_required)
    words = [said.name, said.description, event.area, *said.purposes, *said.deprecated_names]
    return ShownEvent(
        f"{said.call}-{said.name}-{event.version}".lower().replace(" ", "-"),
        event,
        versions.newest is event,
        tuple(ordered),
        json.dumps(example_call(event), indent=2, ensure_ascii=False),
        " ".join([*words, *(shown.name for shown in properties)]).lower(),
    )


def _property(name: str, schema: Schema, is_required: bool) -> ShownProperty:
    limits = [text.format(schema[key]) for key, text in _LIMITS.items() if key in schema]
    return ShownProperty(name, _kind(schema), ", ".join(limits), str(schema.get("description", "")), is_required)


def _kind(schema: Schema) -> str:
    choices = schema.get("enum")
    if isinstance(choices, list):
        return " | ".join(str(choice) for choice in choices)
    kind = schema.get("type", "anything")
    words = [str(one) for one in kind] if isinstance(kind, list) else [str(kind)]
    items = schema.get("items")
    if words == ["array"] and isinstance(items, dict):
        return f"list of {_kind(items)}s"
    return " or ".join("list" if word == "array" else word for word in words)


def example_call(event: PlannedEvent) -> dict[str, JsonValue]:
    """The smallest call that the plan allows for an event, less the message id that an SDK gives it."""
    said = event.definition
    schemas = _properties(event.schema)
    wanted = {*_required(event.schema), *said.needs_one_of[:1]}
    told: dict[str, JsonValue] = {name: _example_value(schemas[name]) for name in schemas if name in wanted}
    call: dict[str, JsonValue] = {"type": said.call, "userId": "u-1", "timestamp": "2026-11-24T20:15:00Z"}
    if said.call == "track":
        call["event"] = said.name
    elif said.call in ("page", "screen"):
        call["name"] = "Home"
    elif said.call == "group":
        call["groupId"] = "household-1"
    elif said.call == "alias":
        call["previousId"] = "a-1"
    call["traits" if said.call in ("identify", "group") else "properties"] = told
    granted: dict[str, JsonValue] = dict.fromkeys(said.purposes, True)
    context: dict[str, JsonValue] = {"consent": {"categoryPreferences": granted}, "schemaVersion": event.version}
    return {**call, "context": context}


def _example_value(schema: Schema) -> JsonValue:
    choices = schema.get("enum")
    if isinstance(choices, list):
        return choices[0]
    kind, highest = schema.get("type"), schema.get("maximum")
    if isinstance(highest, int | float):
        return highest
    return _EXAMPLES.get(str(kind[0] if isinstance(kind, list) else kind))


def _with_code(text: str) -> Markup:
    """Text in which what stands in backquotes is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped just here


def _required(schema: Schema) -> list[JsonValue]:
    required = schema["required"]
    assert isinstance(required, list)
    return required


def _properties(schema: Schema) -> dict[str, Schema]:
    properties = schema["properties"]
    assert isinstance(properties, dict)
    return {name: inner for name, inner in properties.items() if isinstance(inner, dict)}
