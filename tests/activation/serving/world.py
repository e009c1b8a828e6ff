"""A small media house for serving tests: marts and features by hand, real Feast, a tiny model.

Contents c01 ... c40 come in two tastes: odd ones are dramas, even ones comedies. The tower of the model points to what
was consumed last, so that a lover of dramas is given dramas; the ranker follows retrieval.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import torch
from psycopg import Connection, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from scipy import sparse
from torch import Tensor, nn

from feature_repo.content_text import WORD_COUNT
from feature_repo.materialization import materialize
from feature_repo.nearest import Nearest
from feature_repo.profile_codes import PROFILES, ProfileCodes
from feature_repo.ranking_inputs import NAMES
from feature_repo.store import apply_definitions
from feature_repo.tower_inputs import TOWER_INPUTS
from marquee.settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GENRES = 18
CONTENT_COUNT = 40
SEQUENCE_LENGTH = 8
CANDIDATE_COUNT = 20
CONTENT_IDS = tuple(f"c{number:02}" for number in range(1, CONTENT_COUNT + 1))

DRAMA_LOVER = "s-drama"
COMEDY_LOVER = "s-comedy"
NO_CONSENT = "s-no-consent"
NO_HISTORY = "s-no-history"

_MARTS = """
create schema if not exists marts;
create table marts.dim_subscribers (
    subscriber_id text primary key, user_id text, email text, email_hash text, first_name text, gender text,
    age_band text, occupation text, country text, region text, timezone text, plan text, subscription_status text,
    lifecycle_stage text, segments text[], genre_affinities jsonb, acquired_at timestamptz, first_seen_at timestamptz,
    last_active_at timestamptz, last_email_opened_at timestamptz, has_personalization_consent boolean,
    has_email_consent boolean, has_advertising_consent boolean, is_email_deliverable boolean, is_known boolean,
    identifier_count bigint, is_simulated boolean
);
create table marts.dim_subscriber_identifiers (
    identifier_kind text, identifier_value text, subscriber_id text, first_seen_at timestamptz, last_seen_at timestamptz
);
create table marts.dim_subscriber_redirects (
    former_subscriber_id text primary key, subscriber_id text, changed_at timestamptz
);
create table marts.dim_content (
    content_id text primary key, content_type text, title text, genres text[], release_year integer,
    duration_minutes integer, maturity_rating text, published_at timestamptz, is_simulated boolean,
    available_from timestamptz, available_until timestamptz, licensed_countries text[]
);
create table marts.fct_interactions (
    interaction_id text primary key, subscriber_id text, content_id text, occurred_at timestamptz,
    interaction_type text, watched_fraction float8, device_type text, session_id text,
    has_personalization_consent boolean, is_simulated boolean
);
create table marts.fct_consents (
    subscriber_id text, purpose text, is_permitted boolean, effective_at timestamptz, is_said boolean default true,
    is_locked boolean default false, primary key (subscriber_id, purpose)
);
create index on marts.fct_interactions (subscriber_id);
create index on marts.dim_subscriber_redirects (subscriber_id);
create index on marts.dim_subscriber_identifiers (identifier_value, identifier_kind);
create table features.ftr_subscriber__sequence (
    subscriber_id text, event_timestamp timestamptz, created_at timestamptz, recent_content_ids text[],
    recent_watched_fractions float8[], recent_consumed_seconds int8[]
);
create table features.ftr_subscriber__activity (
    subscriber_id text, event_timestamp timestamptz, created_at timestamptz, interaction_count_7d int8,
    interaction_count_28d int8, interaction_count int8, mean_watched_fraction_28d float8, distinct_genre_count_28d int8,
    top_genre text, genre_affinity float8[], last_device_type text
);
create table features.ftr_subscriber__profile (
    subscriber_id text, event_timestamp timestamptz, created_at timestamptz, age_band text, gender text,
    occupation text, plan text, region text, lifecycle_stage text, has_personalization_consent boolean
);
create table features.ftr_content__popularity (
    content_id text, event_timestamp timestamptz, created_at timestamptz, interaction_count_1d int8,
    interaction_count_7d int8, interaction_count_28d int8, interaction_count int8, mean_watched_fraction float8,
    days_since_published float8
);
create table features.ftr_content__profile (
    content_id text, event_timestamp timestamptz, created_at timestamptz, content_type text, genres text[],
    genre_vector float8[], release_year int8, duration_minutes int8, is_simulated boolean
);
"""


@dataclass(frozen=True)
class Person:
    subscriber_id: str
    consumed: Sequence[str]
    has_consent: bool = True


PEOPLE = (
    Person(DRAMA_LOVER, ["c01", "c03", "c05"]),
    Person(COMEDY_LOVER, ["c02", "c04"]),
    Person(NO_CONSENT, ["c01", "c07"], has_consent=False),
    Person(NO_HISTORY, []),
)


def genre_of(content_id: str) -> str:
    return "drama" if int(content_id[1:]) % 2 else "comedy"


def title_of(content_id: str) -> str:
    """c39 and c37 carry one title: a remake."""
    return "The Same Name" if content_id in ("c37", "c39") else f"Title {content_id}"


def make_tables(connection: Connection[DictRow]) -> None:
    """The tables, empty."""
    connection.execute(_MARTS.encode())


def build_marts(connection: Connection[DictRow], people: Sequence[Person] = PEOPLE) -> None:
    """Every mart and feature table that serving reads, with `people` in them."""
    make_tables(connection)
    cursor = connection.cursor()
    for place, content_id in enumerate(CONTENT_IDS):
        kind = {38: "article", 39: "podcast"}.get(place, "video")
        published = NOW - timedelta(days=100 - place)
        add_content(connection, content_id, published, kind, 1990 + place % 10)
        describe_content(connection, content_id, published, kind)
        cursor.execute(
            "insert into features.ftr_content__popularity values (%s, %s, %s, 1, %s, %s, %s, 0.8, %s)",
            (content_id, NOW, NOW, 50 - place, 80 - place, 200 - place, 100 - place),
        )
    for person in people:
        add_person(connection, person)
    connection.commit()


def add_content(
    connection: Connection[DictRow], content_id: str, published: datetime, kind: str = "video", year: int = 1990
) -> None:
    """Into the catalogue; the store of features has no word of it yet."""
    connection.execute(
        "insert into marts.dim_content values (%s, %s, %s, %s, %s, 90, 'PG', %s, %s)",
        (content_id, kind, title_of(content_id), [genre_of(content_id)], year, published, kind != "video"),
    )


def describe_content(
    connection: Connection[DictRow], content_id: str, published: datetime, kind: str = "video"
) -> None:
    genre = genre_of(content_id)
    vector = [1.0 if index == (7 if genre == "drama" else 4) else 0.0 for index in range(GENRES)]
    connection.execute(
        "insert into features.ftr_content__profile values (%s, %s, %s, %s, %s, %s, 1990, 90, false)",
        (content_id, published, NOW, kind, [genre], vector),
    )


def add_person(connection: Connection[DictRow], person: Person) -> None:
    name, consent = person.subscriber_id, person.has_consent
    affinities = dict.fromkeys({genre_of(content_id) for content_id in person.consumed}, 1.0)
    connection.execute(
        """
        insert into marts.dim_subscribers (
            subscriber_id, email, age_band, gender, occupation, country, plan, subscription_status, lifecycle_stage,
            genre_affinities, last_active_at, has_personalization_consent, is_known, identifier_count, is_simulated
        ) values (
            %s, %s, '25_34', 'female', 'librarian', 'DE', 'premium', 'active', 'active', %s, %s, %s, true, 3, true
        )
        """,
        (name, f"{name}@example.org", Jsonb(affinities), NOW, consent),
    )
    connection.execute(
        "insert into marts.dim_subscriber_identifiers values ('anonymous_id', %s, %s, %s, %s)",
        (f"anon-{name}", name, NOW, NOW),
    )
    for purpose in ("personalization", "email_marketing"):
        connection.execute(
            "insert into marts.fct_consents values (%s, %s, %s, %s)",
            (name, purpose, consent, NOW - timedelta(days=30)),
        )
    for place, content_id in enumerate(person.consumed):
        connection.execute(
            "insert into marts.fct_interactions values (%s, %s, %s, %s, 'play', 0.9, 'web', %s, %s, false)",
            (f"{name}-{place}", name, content_id, NOW - timedelta(hours=len(person.consumed) - place), name, consent),
        )
    moment = NOW - timedelta(hours=1)
    if person.consumed:
        count = len(person.consumed)
        genres = [genre_of(content_id) for content_id in person.consumed]
        affinity = [0.0] * GENRES
        affinity[7], affinity[4] = genres.count("drama") / count, genres.count("comedy") / count
        connection.execute(
            "insert into features.ftr_subscriber__sequence values (%s, %s, %s, %s, %s, %s)",
            (name, moment, NOW, list(person.consumed), [0.9] * count, [int(moment.timestamp())] * count),
        )
        connection.execute(
            "insert into features.ftr_subscriber__activity values (%s, %s, %s, %s, %s, %s, 0.9, 1, 'drama', %s, 'web')",
            (name, moment, NOW, count, count, count, affinity),
        )
    connection.execute(
        "insert into features.ftr_subscriber__profile values "
        "(%s, %s, %s, '25_34', 'female', 'librarian', 'premium', 'eu', 'active', %s)",
        (name, moment, NOW, consent),
    )


def join_profiles(connection: Connection[DictRow], former_id: str, present_id: str) -> None:
    """What a build leaves that found two subscribers to be one: rows under one id, and where the other leads."""
    connection.execute("delete from marts.dim_subscribers where subscriber_id = %s", (former_id,))
    connection.execute("delete from marts.fct_consents where subscriber_id = %s", (former_id,))
    for table in ("dim_subscriber_identifiers", "fct_interactions"):
        connection.execute(
            sql.SQL("update marts.{} set subscriber_id = %s where subscriber_id = %s").format(sql.Identifier(table)),
            (present_id, former_id),
        )
    connection.execute("insert into marts.dim_subscriber_redirects values (%s, %s, %s)", (former_id, present_id, NOW))


def put_online(settings: Settings, run_key: str = "test") -> None:
    """Register the features with Feast and materialize them."""
    apply_definitions(settings)
    materialize(run_key, NOW, settings)


class LoneTower(nn.Module):
    """Mean of the embeddings of what was consumed, as a version of before profiles and devices were inputs."""

    codes: ProfileCodes | None = None
    inputs: tuple[str, ...] = ()

    def __init__(self, embeddings: Tensor) -> None:
        super().__init__()
        self.embed = nn.Embedding.from_pretrained(embeddings, padding_idx=0)

    def forward(self, items: Tensor, seconds: Tensor, fractions: Tensor, asked: Tensor) -> Tensor:  # (B, L) -> (B, D)
        vectors: Tensor = self.embed(items).sum(dim=1)
        # an input that a program makes no use of is none of its inputs
        return vectors + 0.0 * (seconds.sum(dim=1) + asked + torch.nan_to_num(fractions).sum(dim=1)).unsqueeze(1)


class ProfiledTower(LoneTower):
    """What was consumed, and of whom that is known to be a woman, comedies; of before devices were inputs."""

    codes = ProfileCodes({"gender": ("female", "male"), "region": ("north",)})

    def forward(  # type: ignore[override]
        self, items: Tensor, seconds: Tensor, fractions: Tensor, asked: Tensor, profiles: Tensor
    ) -> Tensor:
        comedy = torch.zeros(self.embed.embedding_dim)
        comedy[1] = 10.0
        is_female: Tensor = (profiles == 1).any(dim=1, keepdim=True)
        return super().forward(items, seconds, fractions, asked) + is_female * comedy


class DeviceTower(ProfiledTower):
    """The same, and on a connected TV dramas."""

    inputs = TOWER_INPUTS

    def forward(  # type: ignore[override]
        self, items: Tensor, seconds: Tensor, fractions: Tensor, asked: Tensor, profiles: Tensor, devices: Tensor
    ) -> Tensor:
        drama = torch.zeros(self.embed.embedding_dim)
        drama[0] = 100.0
        is_television = (devices == 3).unsqueeze(1)
        return super().forward(items, seconds, fractions, asked, profiles) + is_television * drama


class _Ranker(nn.Module):
    """The first input, which is the retrieval score; half of it is finished, of returns nothing is said."""

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:  # (K, F) -> (K,), (K, 3)
        start = torch.sigmoid(inputs[:, 0])
        return inputs[:, 0] * 1.0, torch.stack([start, start * 0 + 0.5, start * torch.nan], dim=1)


class OrderAlone(nn.Module):
    """A ranker of before probabilities were foreseen."""

    def forward(self, inputs: Tensor) -> Tensor:  # (K, F) -> (K,)
        return inputs[:, 0] * 1.0


def write_artefact(
    models_dir: Path,
    model_version: str,
    content_ids: Sequence[str] = CONTENT_IDS,
    ranker: nn.Module | None = None,
    tower: type[LoneTower] = LoneTower,
) -> Path:
    """A model directory in the format of docs/ARCHITECTURE.md."""
    count = len(content_ids)
    embeddings = np.zeros((count + 1, 4), dtype=np.float32)
    for row, content_id in enumerate(content_ids):
        taste = 0 if genre_of(content_id) == "drama" else 1
        embeddings[row + 1, taste] = 1.0
        # later contents a little nearer, so that the order of candidates is known
        embeddings[row + 1, 2] = embeddings[row + 1, taste] * (row + 1) / 100
    similarity = np.zeros((count + 1, count + 1), dtype=np.float32)
    similarity[1:, 1:] = (embeddings[1:, :2] @ embeddings[1:, :2].T) * 0.5
    np.fill_diagonal(similarity, 0.0)
    folder = models_dir / model_version
    side_map = np.zeros((GENRES + 3, 4), dtype=np.float32)
    side_map[7, 0] = side_map[4, 1] = 1.0
    made = tower(torch.from_numpy(embeddings))
    write_model(
        folder, content_ids, embeddings, similarity, made, ranker or _Ranker(),
        side_map=side_map, codes=tower.codes, inputs=tower.inputs,
    )  # fmt: skip
    return folder


def write_model(
    folder: Path,
    content_ids: Sequence[str],
    embeddings: np.ndarray,
    similarity: np.ndarray,
    tower: nn.Module,
    ranker: nn.Module,
    sequence_length: int = SEQUENCE_LENGTH,
    candidate_count: int = CANDIDATE_COUNT,
    side_map: np.ndarray | None = None,
    codes: ProfileCodes | None = None,
    inputs: tuple[str, ...] = (),
) -> None:
    """`folder` as training would write it, but for what only evaluation reads."""
    folder.mkdir(parents=True)
    np.save(folder / "content_embeddings.npy", embeddings)
    np.savez(
        folder / "content_tower.npz",
        side_map=np.zeros((GENRES + 3, embeddings.shape[1]), dtype=np.float32) if side_map is None else side_map,
        word_map=np.zeros((WORD_COUNT, embeddings.shape[1]), dtype=np.float32),
        rarity=np.zeros(WORD_COUNT, dtype=np.float32),
    )
    sparse.save_npz(folder / "item_neighbours.npz", sparse.csr_matrix(similarity))
    sparse.save_npz(folder / "taste_weights.npz", sparse.csr_matrix(0.5 * similarity))
    (folder / "content_ids.json").write_text(json.dumps(list(content_ids)))
    popular = list(content_ids)
    (folder / "fallback.json").write_text(json.dumps({"popular": popular, "popular_7d": popular[::-1]}))
    items = torch.zeros((2, sequence_length), dtype=torch.int64)
    batch, candidates = torch.export.Dim("batch", min=1), torch.export.Dim("candidates", min=2)
    example = [items, items.clone(), torch.zeros((2, sequence_length)), torch.zeros(2, dtype=torch.int64)]
    if codes is not None:
        codes.save(folder / PROFILES)
        example.append(torch.zeros((2, codes.width), dtype=torch.int64))
    if "devices" in inputs:
        example.append(torch.zeros(2, dtype=torch.int64))
    exported = torch.export.export(tower.eval(), tuple(example), dynamic_shapes=({0: batch},) * len(example))
    torch.export.save(exported, folder / "user_tower.pt2")
    exported = torch.export.export(ranker.eval(), (torch.zeros((3, len(NAMES))),), dynamic_shapes=({0: candidates},))
    torch.export.save(exported, folder / "ranker.pt2")
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    manifest = {
        "model_version": folder.name, "sequence_length": sequence_length, "embedding_size": embeddings.shape[1],
        "ranker_features": list(NAMES), "tower_inputs": inputs, "candidate_count": candidate_count, "files": files,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


def add_index(folder: Path) -> None:
    """Give a model the index that training writes for large catalogues only."""
    path = folder / "content_index.faiss"
    Nearest.build(np.load(folder / "content_embeddings.npy"), indexed_from=0).save(path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def copy_version(models_dir: Path, old: str, new: str) -> Path:
    """The same model under another version's name: quicker than exporting it again."""
    folder = shutil.copytree(models_dir / old, models_dir / new)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "model_version": new}))
    return folder


def promote(connection: Connection[DictRow], model_version: str) -> None:
    connection.execute(
        "insert into ops.model_versions values (%s, %s, %s, %s, '[]') on conflict do nothing",
        (model_version, NOW, NOW, NOW),
    )
    connection.execute(
        "insert into ops.model_promotions (model_version, promoted_at, reason) values (%s, %s, 'test')",
        (model_version, NOW),
    )
    connection.commit()
