"""The CMS's extract: the real films, and simulated articles and podcasts about them, with inconsistent tags.

In: MovieLens items and when each was first watched. Out: `Catalogue`, and the lines of the CMS's JSON export.
Title, year and genres of a film are real; its duration, rating and publication date are simulated, and so is every
article and podcast.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from ingestion.envelope.rows import rows_of

ARTICLE_COUNT = 120
PODCAST_COUNT = 60

_DAY = 86_400
# how editors write a genre: the first is MovieLens's own
_SPELLINGS: dict[str, tuple[str, ...]] = {
    "Sci-Fi": ("Sci-Fi", "Sci Fi", "sci-fi", "SciFi", "Science Fiction"),
    "Children's": ("Children's", "Children", "Kids", "childrens"),
    "Film-Noir": ("Film-Noir", "Film Noir", "film-noir", "Noir"),
    "Documentary": ("Documentary", "documentary", "Documentaries", "Docs"),
    "Romance": ("Romance", "romance", "ROMANCE", "Romantic"),
    "Animation": ("Animation", "animation", "Animated"),
    "Musical": ("Musical", "musical", "Musicals"),
}
_ARTICLE_TITLES = ("Inside {film}", "Why {film} still works", "{film}: a viewer's guide", "Ten {genre} films to see")
_PODCAST_TITLES = ("The {genre} hour: {film}", "Talking about {film}", "{genre} on the record, episode {number}")


@dataclass(frozen=True)
class Content:
    """A film, an article or a podcast; `published_at` and `updated_at` are epoch seconds."""

    content_id: str
    content_type: str
    title: str
    genres: tuple[str, ...]
    release_year: str
    duration_minutes: str
    maturity_rating: str
    published_at: int
    updated_at: int
    is_simulated: bool


@dataclass(frozen=True)
class Catalogue:
    """What can be watched, read and heard."""

    contents: list[Content]

    def of_type(self, content_type: str) -> list[Content]:
        """The contents of one type, in order."""
        return [content for content in self.contents if content.content_type == content_type]


def make_catalogue(items: pd.DataFrame, interactions: pd.DataFrame, anchor: int, seed: int) -> Catalogue:
    """Films of `items`, and articles and podcasts about them in proportion."""
    random = np.random.default_rng([seed, 2])
    start = int(interactions["timestamp"].min())
    films = _films(items, interactions, start, random)
    share = min(1.0, len(items) / 400)
    articles = _companions(films, "article", max(10, int(ARTICLE_COUNT * share)), start, anchor, random)
    podcasts = _companions(films, "podcast", max(6, int(PODCAST_COUNT * share)), start, anchor, random)
    return Catalogue([*films, *articles, *podcasts])


def cms_lines(catalogue: Catalogue, seed: int) -> list[str]:
    """One JSON object a content, and the export's faults: second versions with other tags, and a few broken items."""
    random = np.random.default_rng([seed, 3])
    lines = []
    for content in catalogue.contents:
        record = {
            "id": content.content_id,
            "type": content.content_type,
            "title": content.title,
            "tags": _tags(content.genres, random),
            "release_year": content.release_year,
            "duration_minutes": content.duration_minutes,
            "maturity_rating": content.maturity_rating,
            "published_at": _iso(content.published_at),
            "updated_at": _iso(content.updated_at),
            "is_simulated": content.is_simulated,
            "simulated_fields": ["duration_minutes", "maturity_rating", "published_at"],
        }
        lines.append(json.dumps(record))
        if random.random() < 0.02:
            later = {**record, "tags": _tags(content.genres, random), "updated_at": _iso(content.updated_at + 3_600)}
            lines.append(json.dumps(later))
    lines.append(json.dumps({"id": "vid-untitled", "type": "video", "tags": [], "updated_at": _iso(0)}))
    lines.append(json.dumps({"id": "vid-undated", "type": "video", "title": "Undated", "updated_at": "last Tuesday"}))
    return lines


def _films(items: pd.DataFrame, interactions: pd.DataFrame, start: int, random: np.random.Generator) -> list[Content]:
    count = len(items)
    first_seen = items["item_id"].map(interactions.groupby("item_id")["timestamp"].min()).to_numpy(dtype="float64")
    published = start - random.uniform(1, 700, count) * _DAY
    # a film of the newest years that nobody saw for a long while came out in between: a real cold start
    newest = sorted(year for year in items["release_year"].unique() if year)[-2:]
    is_release = items["release_year"].isin(newest).to_numpy() & (first_seen > start + 45 * _DAY)
    published = np.where(is_release, first_seen - random.uniform(0.05, 3, count) * _DAY, published)
    genres = [tuple(text.split()) if text != "unknown" else () for text in items["genres"]]
    films = pd.DataFrame(
        {
            "content_id": "ml-" + items["item_id"],
            "content_type": "video",
            "title": items["title"],
            "genres": genres,
            "release_year": items["release_year"],
            "duration_minutes": np.clip(random.normal(108, 18, count), 60, 220).astype(int).astype(str),
            "maturity_rating": [_maturity(names, random) for names in genres],
            "published_at": published.astype("int64"),
            "updated_at": published.astype("int64") + 3_600,
            "is_simulated": False,
        }
    )
    return rows_of(films, Content)


def _companions(
    films: list[Content], kind: str, count: int, start: int, anchor: int, random: np.random.Generator
) -> list[Content]:
    about = [films[row] for row in random.choice(len(films), count).tolist()]
    patterns = _ARTICLE_TITLES if kind == "article" else _PODCAST_TITLES
    companions = []
    for number, film in enumerate(about, 1):
        genre = film.genres[0] if film.genres else "Drama"
        title = str(random.choice(patterns)).format(film=film.title, genre=genre, number=number)
        minutes = random.integers(3, 13) if kind == "article" else random.integers(18, 65)
        published = int(random.uniform(start - 30 * _DAY, anchor - 2 * _DAY))
        prefix = "art" if kind == "article" else "pod"
        companions.append(
            Content(
                content_id=f"{prefix}-{number:04d}",
                content_type=kind,
                title=title,
                genres=film.genres or ("Drama",),
                release_year="",
                duration_minutes=str(minutes),
                maturity_rating="PG",
                published_at=published,
                updated_at=published + 60,
                is_simulated=True,
            )
        )
    return companions


def _tags(genres: tuple[str, ...], random: np.random.Generator) -> list[str]:
    tags = []
    for genre in genres:
        spellings = _SPELLINGS.get(genre, (genre, genre.lower(), genre.upper(), f" {genre} "))
        # half of the editors keep to the house style
        tags.append(spellings[0] if random.random() < 0.5 else str(random.choice(spellings)))
        if random.random() < 0.06:
            tags.append(genre.lower())
    return tags


def _maturity(genres: tuple[str, ...], random: np.random.Generator) -> str:
    if "Children's" in genres or "Animation" in genres:
        return "G"
    if "Horror" in genres:
        return "R"
    return str(random.choice(["PG", "PG-13", "R"]))


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
