"""Templates to HTML: one jinja environment, autoescaped, with the addresses that every page's header links to.

In: a template name and values. Out: an HTMLResponse with headers that keep a page to itself.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from marquee.settings import Settings

PAGES_DIR = Path(__file__).resolve().parent
STATIC_DIR = PAGES_DIR / "static"

# Only what this server hands out runs or shows; preference tokens never leave in a referrer.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Link:
    name: str
    url: str
    about: str


def genre_name(genre: str) -> str:
    """A genre as people read it."""
    return {"sci_fi": "Sci-Fi", "film_noir": "Film noir", "childrens": "Children's"}.get(
        genre, genre.replace("_", " ").capitalize()
    )


def with_code(text: str) -> Markup:
    """Text whose `ticked` words are shown as code; the rest is escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped just here


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(PAGES_DIR / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["genre"] = genre_name
    environment.filters["ticks"] = with_code
    return environment


class Pages:
    """Renders the templates for one installation."""

    def __init__(self, settings: Settings, is_simulated: Callable[[], bool], site: str = "") -> None:
        """`is_simulated` says, at each page, whether what is shown is the demo's and must be labelled so.

        `site` is the address of the serving app, for pages that another server hands out.
        """
        self._environment = _environment()
        self._environment.globals["links"] = navigation(settings, site)
        self._environment.globals["site"] = site
        self._environment.globals["is_simulated"] = is_simulated

    def render(self, template: str, *, status_code: int = 200, **values: object) -> HTMLResponse:
        html = self._environment.get_template(template).render(**values)
        return HTMLResponse(html, status_code=status_code, headers=SECURITY_HEADERS)


def navigation(settings: Settings, site: str = "") -> Sequence[Link]:
    """Every page of the installation, for the header and /start."""
    mailbox = [Link("Mailbox", f"http://localhost:{settings.email_port}/", "Every email that went out, as it looks.")]
    return [
        Link("Homepage", f"{site}/", "What a subscriber sees, and why."),
        Link("Preferences", f"{site}/preferences", "What we know about a subscriber, and what they allow."),
        *(mailbox if settings.is_email_local else []),
        Link("Pipeline", f"http://localhost:{settings.airflow_port}/", "Airflow: every DAG, task and log."),
        Link("Data docs", f"{site}/dbt-docs", "dbt: every model, column, test and where it comes from."),
        Link(
            "Reports",
            f"{site}/reports",
            "Drift, quality, fairness, freshness and doubtful identities, with their verdicts.",
        ),
        Link("API", f"{site}/docs", "The endpoints, with examples to try."),
    ]
