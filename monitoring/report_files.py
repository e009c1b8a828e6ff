"""Where the pages of a run lie, and how they are written: whole under another name, then renamed.

In: a page's text. Out: an HTML file under the reports folder.
"""

import re
from pathlib import Path

from marquee.settings import Settings


def report_path(name: str, run_key: str) -> str:
    """Where a run's page `name` lies below the reports folder."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', run_key).lstrip('.') or '_'}/{name}.html"


def write(page: str, name: str, run_key: str, settings: Settings) -> str:
    """Write the page and return its path below the reports folder."""
    report = report_path(name, run_key)
    path = settings.reports_dir / Path(report)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(page, encoding="utf-8")
    draft.replace(path)
    return report
