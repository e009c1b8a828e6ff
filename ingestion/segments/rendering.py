"""The conditions as SQL outside dbt: the very macros that the nightly build calls, rendered here.

In: segments. Out: SQL text over the warehouse's tables. There is no second compiler: what a preview counts is what the
build will find.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import SimpleNamespace

import jinja2

from ingestion.segments.definitions import Definitions, Segment
from ingestion.segments.faults import SegmentError
from marquee.settings import PROJECT_ROOT

_MACROS = tuple(PROJECT_ROOT / "dbt_project" / "macros" / name for name in ("consent.sql", "segments.sql"))
_SCHEMAS = {"int": "intermediate", "fct": "marts", "dim": "marts"}


@dataclass(frozen=True)
class Rendered:
    """SQL fragments over the steps `build`, `profiles` and `event_counts`.

    Attributes:
        sources: these steps, to stand after `with`.
        reaches: by name of a segment, whether a profile meets it and agreed to its purpose.
        conditions: by name of a segment, whether a profile meets it, agreed or not.
        cases: elements of an array of the segments that a profile is in.
    """

    sources: str
    reaches: dict[str, str]
    conditions: dict[str, str]
    cases: str


def render(
    definitions: Definitions,
    segments: Sequence[Segment],
    as_of: datetime,
    profiles: str = "marts.dim_subscribers",
    events: str = "intermediate.int_events_sessionized",
) -> Rendered:
    """Render the macros for `segments`.

    Raises:
        SegmentError: the macros refuse a condition.
    """
    macros = _macros()
    # columns of types that no condition reads are not among them: the macros need the names
    fields = {name: field.kind for name, field in definitions.fields.items()}
    written = [segment.model_dump(include={"name", "kind", "group", "priority", "conditions"}) for segment in segments]
    counted: list[str] = []
    for segment in written:
        macros.segment_find_events(segment["conditions"], counted)  # type: ignore[attr-defined]
    moment = f"timestamptz '{as_of.isoformat()}'"
    return Rendered(
        macros.segment_sources(counted, moment, profiles, events),  # type: ignore[attr-defined]
        {one["name"]: macros.segment_reach(one, fields, counted) for one in written},  # type: ignore[attr-defined]
        {
            one["name"]: macros.segment_condition(one["conditions"], fields, counted)  # type: ignore[attr-defined]
            for one in written
        },
        macros.segment_cases(  # type: ignore[attr-defined]
            written, sorted(definitions.exclusive_groups), fields, counted
        ),
    )


@cache
def _macros() -> jinja2.environment.TemplateModule:
    environment = jinja2.Environment(extensions=["jinja2.ext.do"], autoescape=False)  # noqa: S701  it is SQL
    text = "\n".join(path.read_text(encoding="utf-8") for path in _MACROS)
    return environment.from_string(
        text,
        globals={
            "exceptions": SimpleNamespace(raise_compiler_error=_refuse),
            "ref": lambda name: f"{_SCHEMAS[name.partition('_')[0]]}.{name}",
            "return": lambda value: value,
        },
    ).module


def _refuse(message: str) -> None:
    raise SegmentError(message)
