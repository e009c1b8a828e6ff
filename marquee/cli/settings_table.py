"""The settings as a table: on the terminal with the values of this machine, in Markdown with the defaults."""

from pathlib import Path

from pydantic_core import PydanticUndefined
from rich.table import Table

from marquee.settings import PROJECT_ROOT, Settings


def table(settings: Settings) -> Table:
    """Name, present value (secrets masked) and description of each setting."""
    rows = Table("variable", "value", "what it does", title="Settings")
    for name, field in Settings.model_fields.items():
        rows.add_row(field.alias, str(getattr(settings, name)), field.description)
    return rows


def markdown() -> str:
    """The table of docs/settings.md."""
    lines = ["| variable | default | what it does |", "|---|---|---|"]
    lines += [
        f"| `{field.alias}` | {_default_text(field.default)} | {field.description} |"
        for field in Settings.model_fields.values()
    ]
    return "\n".join(lines)


def _default_text(default: object) -> str:
    if default is None or default is PydanticUndefined:
        return "unset"
    if isinstance(default, Path) and default.is_relative_to(PROJECT_ROOT):
        return f"`{default.relative_to(PROJECT_ROOT)}`"
    return f"`{default}`"
