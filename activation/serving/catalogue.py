"""What can be shown: every content with its title, the popular ones of the week and the newest, kept in memory.

In: marts.dim_content and marts.fct_interactions; at a start without a database, the copy of the last start. Out: one
immutable `Catalogue`, which still answers when the database is gone.
"""

import os
import re
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import TypeAdapter, ValidationError

_CONTENTS = """
select
    contents.content_id, contents.content_type, contents.title, contents.genres, contents.release_year,
    contents.duration_minutes, contents.published_at, contents.is_simulated, contents.maturity_rating,
    contents.available_from, contents.available_until, contents.licensed_countries,
    coalesce(recent.interaction_count, 0) as interaction_count_7d
from marts.dim_content as contents
left join (
    select content_id, count(*) as interaction_count
    from marts.fct_interactions
    where occurred_at > (select max(occurred_at) from marts.fct_interactions) - interval '7 days'
    group by content_id
) as recent using (content_id)
-- popular first; where nobody watched anything, the editors' newest
order by interaction_count_7d desc, contents.published_at desc nulls last, contents.content_id
"""


@dataclass(frozen=True)
class Content:
    content_id: str
    content_type: str
    title: str
    genres: tuple[str, ...]
    release_year: int | None
    duration_minutes: int | None
    published_at: datetime | None
    is_simulated: bool
    maturity_rating: str | None
    available_from: datetime | None
    available_until: datetime | None
    licensed_countries: tuple[str, ...]  # none: everywhere
    interaction_count_7d: int


@dataclass(frozen=True)
class Catalogue:
    """Contents in the order of their popularity in the last week of the data."""

    contents: tuple[Content, ...] = field(repr=False)

    @cached_property
    def by_id(self) -> dict[str, Content]:
        return {content.content_id: content for content in self.contents}

    @cached_property
    def is_simulated(self) -> bool:
        """Whether this is the demo: its people, articles and podcasts are made up; an imported catalogue has none."""
        return any(content.is_simulated for content in self.contents)

    @cached_property
    def newest(self) -> tuple[Content, ...]:
        """By date of publication, then by popularity."""
        dated = [(content.published_at, content) for content in self.contents if content.published_at is not None]
        return tuple(content for _, content in sorted(dated, key=lambda pair: pair[0], reverse=True))

    @cached_property
    def popular_ids(self) -> frozenset[str]:
        """The hundred most consumed of the week: what may be called popular."""
        return frozenset(content.content_id for content in self.contents[:100] if content.interaction_count_7d > 0)


_SORTED_ARTICLE = re.compile(r"^(.+), (The|A|An|Der|Die|Das|Le|La|Les|Il|El|Los|Las)$")
EMPTY = Catalogue(())
_CONTENTS_FILE = TypeAdapter(tuple[Content, ...])


def read_catalogue(connection: Connection[DictRow]) -> Catalogue:
    """The catalogue as the marts have it now; empty before the first build."""
    try:
        with connection.transaction():
            # counts over all interactions take longer than a request may
            connection.execute("set local statement_timeout = '60s'")
            rows = connection.execute(_CONTENTS).fetchall()
    except psycopg.errors.UndefinedTable:
        return EMPTY
    return Catalogue(tuple(_content(row) for row in rows))


def _content(row: DictRow) -> Content:
    lists = {name: tuple(row[name] or ()) for name in ("genres", "licensed_countries")}
    return Content(**{**row, **lists, "title": spoken_title(row["title"])})


def title_key(title: str) -> str:
    """Two contents with the same key look like one to a reader."""
    return " ".join(title.casefold().split())


def spoken_title(title: str) -> str:
    """A title as people say it: catalogues that sort by title move the article to its end."""
    return _SORTED_ARTICLE.sub(r"\2 \1", title)


def keep(catalogue: Catalogue, path: Path) -> None:
    """Store a copy for a start without a database."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "wb") as file:
        file.write(_CONTENTS_FILE.dump_json(catalogue.contents))
    Path(draft).replace(path)


def kept(path: Path) -> Catalogue:
    """The stored copy, or an empty catalogue."""
    try:
        return Catalogue(_CONTENTS_FILE.validate_json(path.read_bytes()))
    except (OSError, ValidationError):
        return EMPTY
