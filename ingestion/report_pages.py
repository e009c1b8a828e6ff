"""The pages that ingestion puts among the reports: one layout, written whole or not at all.

In: a template that extends report_layout.html, and what it shows. Out: a file of the reports folder that needs nothing
from elsewhere.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from marquee.settings import Settings

_LAYOUTS = Path(__file__).parent


def write_report(
    name: str, template: Path, settings: Settings, filters: Mapping[str, Callable[..., str | int]], **shown: object
) -> Path:
    """Render `template` with `shown`, put it among the reports as `name`, and say where it lies."""
    environment = Environment(
        loader=FileSystemLoader([template.parent, _LAYOUTS]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"moment": _moment, **filters}
    page = environment.get_template(template.name).render(**shown)
    path = settings.reports_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(page, encoding="utf-8")
    draft.replace(path)
    return path


def _moment(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%-d %b %Y, %H:%M} UTC"
