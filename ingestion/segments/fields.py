"""Which fields of a profile conditions may name, and what can be asked of each.

In: the yml of dim_subscribers, which documents every column of the profile. Out: a `Field` a column, by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from marquee.settings import PROJECT_ROOT

Kind = Literal["text", "boolean", "number", "moment", "list", "shares"]

PROFILE_FILE = PROJECT_ROOT / "dbt_project" / "models" / "marts" / "dim_subscribers.yml"

_KINDS: dict[str, Kind] = {
    "text": "text",
    "boolean": "boolean",
    "integer": "number",
    "bigint": "number",
    "numeric": "number",
    "double precision": "number",
    "timestamp with time zone": "moment",
    "text[]": "list",
    # numbers by category
    "jsonb": "shares",
}

# what may be asked of each kind of value; the macro segment_comparison says what it means in SQL
OPERATORS: Mapping[Kind, tuple[str, ...]] = {
    "text": ("is", "is_not", "in", "not_in", "is_set"),
    "boolean": ("is", "is_not", "is_set"),
    "number": ("is", "is_not", "at_least", "at_most", "between", "is_set"),
    "moment": ("within_days", "older_than_days", "due_within_days", "is_set"),
    "list": ("has", "has_not"),
    "shares": ("at_least", "at_most", "between"),
}

# an event's own columns; any other property is looked up in what the client sent
EVENT_COLUMNS: Mapping[str, Kind] = {"content_id": "text", "device_type": "text", "watched_fraction": "number"}
PROPERTY_OPERATORS = ("is", "is_not", "in", "not_in", "at_least", "at_most", "between")

# pseudonyms say who somebody is as well as a name does, and are not all marked as direct
_IDS = frozenset({"subscriber_id", "user_id", "email", "email_hash", "first_name"})


@dataclass(frozen=True)
class Field:
    """A column of the profile.

    Attributes:
        names_a_person: an id, an address or a name: a segment is about many, and asks for none of these.
    """

    name: str
    kind: Kind
    names_a_person: bool


def read_fields(path: Path = PROFILE_FILE) -> dict[str, Field]:
    """The profile's fields, by name. Columns of a type that no condition can ask for are left out."""
    (model,) = yaml.safe_load(path.read_text(encoding="utf-8"))["models"]
    return {
        column["name"]: Field(column["name"], _KINDS[column["data_type"]], _names_a_person(column))
        for column in model["columns"]
        # a segment over segments would need an order among them
        if column["data_type"] in _KINDS and column["name"] != "segments"
    }


def _names_a_person(column: Mapping[str, object]) -> bool:
    config = column.get("config")
    meta = config.get("meta") if isinstance(config, dict) else None
    return column["name"] in _IDS or (isinstance(meta, dict) and meta.get("pii") in ("direct", "pseudonymous"))
