"""A media house of realistic size for benchmarks: many contents and subscribers, random histories, random weights.

In: settings of an empty warehouse. Out: marts, features online, a promoted model, and the ids of who can be asked for.
"""

import hashlib
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from torch import Tensor, nn

from feature_repo.profile_codes import ProfileCodes
from feature_repo.ranking_inputs import NAMES
from feature_repo.tower_inputs import TOWER_INPUTS
from marquee import database
from marquee.settings import Settings
from tests.activation.serving import world
from training.tower_config import TowerConfig
from training.towers import ServedTower, SubscriberTower

CONTENT_COUNT = 2_000
SUBSCRIBER_COUNT = 1_000
INTERACTION_COUNT = 100
EMBEDDING_SIZE = 64
SEQUENCE_LENGTH = 50
CANDIDATE_COUNT = 100
NEIGHBOUR_COUNT = 100
VERSION = "20260301T120000-0000beef"


def build_large_world(settings: Settings) -> list[str]:
    """Everything that serving reads; returns the subscribers, each with consent and a history."""
    chance = np.random.default_rng(7)
    content_ids = [str(number) for number in range(1, CONTENT_COUNT + 1)]
    subscribers = [hashlib.md5(str(number).encode()).hexdigest() for number in range(SUBSCRIBER_COUNT)]
    # few contents are consumed by many, many by few
    weights = 1.0 / np.arange(1, CONTENT_COUNT + 1)
    histories = [
        chance.choice(CONTENT_COUNT, INTERACTION_COUNT, replace=False, p=weights / weights.sum()) for _ in subscribers
    ]
    with database.connect(settings, durable=False) as connection:
        world.make_tables(connection)
        _add_contents(connection, content_ids, chance)
        _add_subscribers(connection, subscribers)
        _add_histories(connection, subscribers, histories, content_ids)
        world.promote(connection, VERSION)
        connection.commit()
        connection.autocommit = True
        connection.execute("analyze")
    world.put_online(settings)
    _write_model(settings.models_dir, content_ids, chance)
    return subscribers


def _copy(connection: Connection[DictRow], target: str, rows: list[tuple]) -> None:
    with connection.cursor().copy(f"copy {target} from stdin") as copy:
        for row in rows:
            copy.write_row(row)


def _add_contents(connection: Connection[DictRow], content_ids: list[str], chance: np.random.Generator) -> None:
    contents, profiles, popularity = [], [], []
    for place, content_id in enumerate(content_ids):
        vector = (chance.random(world.GENRES) < 0.12).astype(float).tolist()
        published = world.NOW - timedelta(days=int(chance.integers(1, 9_000)))
        kind = ("video", "video", "video", "article", "podcast")[place % 5]
        contents.append((content_id, kind, f"Title {content_id}", ["drama"], 1990, 90, published, kind != "video"))
        profiles.append((content_id, published, world.NOW, kind, ["drama"], vector, 1990, 90, False))
        popularity.append((content_id, world.NOW, world.NOW, 1, 9, 40, CONTENT_COUNT - place, 0.8, 100.0))
    columns = "content_id, content_type, title, genres, release_year, duration_minutes, published_at, is_simulated"
    _copy(connection, f"marts.dim_content ({columns})", contents)
    _copy(connection, "features.ftr_content__profile", profiles)
    _copy(connection, "features.ftr_content__popularity", popularity)


def _add_subscribers(connection: Connection[DictRow], subscribers: list[str]) -> None:
    columns = "subscriber_id, genre_affinities, has_personalization_consent, is_known, identifier_count, is_simulated"
    rows = [(name, Jsonb({"drama": 0.6, "comedy": 0.4}), True, True, 3, True) for name in subscribers]
    _copy(connection, f"marts.dim_subscribers ({columns})", rows)
    identifiers = [("anonymous_id", f"anon-{name}", name, world.NOW, world.NOW) for name in subscribers]
    _copy(connection, "marts.dim_subscriber_identifiers", identifiers)
    consents = [
        (name, purpose, True, world.NOW - timedelta(days=9))
        for name in subscribers
        for purpose in ("personalization", "email_marketing", "advertising", "analytics")
    ]
    columns = "subscriber_id, purpose, is_permitted, effective_at"
    _copy(connection, f"marts.fct_consents ({columns})", consents)
    profiles = [
        (name, world.NOW, world.NOW, "25_34", "female", "artist", "premium", "eu", "active", True)
        for name in subscribers
    ]
    _copy(connection, "features.ftr_subscriber__profile", profiles)


def _add_histories(
    connection: Connection[DictRow], subscribers: list[str], histories: list[np.ndarray], content_ids: list[str]
) -> None:
    interactions, sequences, activity = [], [], []
    for name, history in zip(subscribers, histories, strict=True):
        consumed = [content_ids[place] for place in history]
        interactions += [
            (f"{name}-{place}", name, content_id, world.NOW - timedelta(hours=INTERACTION_COUNT - place), 0.9)
            for place, content_id in enumerate(consumed)
        ]
        moment = world.NOW - timedelta(hours=1)
        seconds = [int(row[3].timestamp()) for row in interactions[-SEQUENCE_LENGTH:]]
        sequences.append((name, moment, world.NOW, consumed[-SEQUENCE_LENGTH:], [0.9] * SEQUENCE_LENGTH, seconds))
        affinity = [1 / world.GENRES] * world.GENRES
        counts = (20, 60, INTERACTION_COUNT)
        activity.append((name, moment, world.NOW, *counts, 0.9, 9, "drama", affinity, "web"))
    # subscribers take turns in time, and so on the pages of the table, as events do
    interactions.sort(key=lambda row: (row[3], row[0]))
    columns = "interaction_id, subscriber_id, content_id, occurred_at, watched_fraction"
    _copy(connection, f"marts.fct_interactions ({columns})", interactions)
    _copy(connection, "features.ftr_subscriber__sequence", sequences)
    _copy(connection, "features.ftr_subscriber__activity", activity)


class _Ranker(nn.Module):
    """One hidden layer, as training makes it, with random weights."""

    def __init__(self, input_count: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(input_count, 24), nn.GELU(), nn.Linear(24, 1))

    def forward(self, inputs: Tensor) -> Tensor:  # (K, F) -> (K,)
        scores: Tensor = self.layers(inputs).squeeze(-1)
        return scores


def _write_model(models_dir: Path, content_ids: list[str], chance: np.random.Generator) -> None:
    torch.manual_seed(7)
    embeddings = chance.normal(size=(CONTENT_COUNT + 1, EMBEDDING_SIZE)).astype(np.float32)
    embeddings[0] = 0.0
    similarity = embeddings @ embeddings.T
    similarity[0] = similarity[:, 0] = 0.0
    np.fill_diagonal(similarity, 0.0)
    floor = np.partition(similarity, -NEIGHBOUR_COUNT, axis=1)[:, -NEIGHBOUR_COUNT][:, None]
    similarity[similarity < floor] = 0.0
    codes = ProfileCodes({"gender": ("female", "male")})
    world.write_model(
        models_dir / VERSION,
        content_ids,
        embeddings,
        similarity,
        ServedTower(embeddings, SubscriberTower(TowerConfig(sequence_length=SEQUENCE_LENGTH), codes.size)),
        _Ranker(len(NAMES)),
        sequence_length=SEQUENCE_LENGTH,
        candidate_count=CANDIDATE_COUNT,
        codes=codes,
        inputs=TOWER_INPUTS,
    )
