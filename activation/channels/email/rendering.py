"""Email templates to messages: MJML compiled once, then filled by Jinja for each recipient.

In: the files under templates/, a subject, and an `EmailContent`. Out: subject, HTML and plain text. A template is two
files, `<name>.html` and `<name>.txt`, which put their words into the blocks of `layout.mjml` and `layout.txt`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mrml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

from marquee.errors import MarqueeError

TEMPLATES_DIR = Path(__file__).resolve().parent / "templates"
# what a subject line may say
SUBJECT_NAMES = frozenset({"first_name", "first_title", "day"})
_MAX_SUBJECT = 120


class TemplateError(MarqueeError):
    """An MJML file does not compile."""


@dataclass(frozen=True)
class Tile:
    """One recommended content as an email shows it; colours are `#rrggbb`."""

    title: str
    kind: str
    genres: str
    reason: str
    url: str
    background: str
    accent: str
    is_simulated: bool


@dataclass(frozen=True)
class EmailContent:
    """Everything that differs between two recipients of a campaign. `is_simulated` is said of the recipient."""

    first_name: str | None
    day: int | None
    tiles: tuple[Tile, ...]
    is_personal: bool
    is_simulated: bool
    home_url: str
    preferences_url: str
    unsubscribe_url: str


@dataclass(frozen=True)
class RenderedEmail:
    subject: str
    html: str
    plain: str


class EmailTemplate:
    """A template ready to be filled any number of times."""

    def __init__(self, name: str, subject: str) -> None:
        environment = _environment()
        self._subject: Template = subject_environment().from_string(subject)
        self._html = environment.get_template(f"{name}.html")
        self._plain = environment.get_template(f"{name}.txt")

    def render(self, content: EmailContent) -> RenderedEmail:
        """Fill the three parts for one recipient."""
        first_title = content.tiles[0].title if content.tiles else None
        raw_subject = self._subject.render(first_name=content.first_name, first_title=first_title, day=content.day)
        subject = _one_line(raw_subject)
        values = {**vars(content), "subject": subject}
        plain = re.sub(r"\n{3,}", "\n\n", self._plain.render(values)).strip() + "\n"
        return RenderedEmail(subject, self._html.render(values), plain)


def has_template(name: str) -> bool:
    """Whether both files of a template are there."""
    return all((TEMPLATES_DIR / f"{name}{ending}").is_file() for ending in (".html", ".txt"))


def subject_environment() -> Environment:
    """Jinja for subject lines: plain text, so nothing is escaped; an absent name or title is simply not said."""
    return Environment(autoescape=False, undefined=StrictUndefined)  # noqa: S701  a subject is not HTML


def compile_mjml(source: str, name: str) -> str:
    """HTML of an MJML document, in which Jinja's own marks are left as they are.

    Raises:
        TemplateError: the document is not MJML; the message names the file.
    """
    try:
        # no fonts: it would have mail programs load those it knows from elsewhere
        return str(mrml.to_html(source, None, mrml.RenderOptions(fonts={})).content)
    except OSError as error:
        raise TemplateError(f"{TEMPLATES_DIR / name} is not MJML ({error}); mend the file") from error


class _MjmlLoader(FileSystemLoader):
    """Loads templates from files; an .mjml file is compiled on its way in."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, filename, is_current = super().get_source(environment, template)
        return (compile_mjml(source, template) if template.endswith(".mjml") else source), filename, is_current


@cache
def _environment() -> Environment:
    return Environment(
        loader=_MjmlLoader(TEMPLATES_DIR),
        autoescape=select_autoescape(("html", "mjml"), default_for_string=True, default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def _one_line(text: str) -> str:
    """A subject without line breaks, which would start another header, and short enough for a list of mails."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_SUBJECT else f"{line[: _MAX_SUBJECT - 1].rstrip()}…"
