"""Registered versions with just enough of an artefact for the gate and the registry."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
from psycopg import Connection
from psycopg.rows import DictRow

from marquee.settings import Settings
from training import registry

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PEOPLE = [f"s{n}" for n in range(100)]


def add_people(connection: Connection[DictRow]) -> None:
    """A hundred subscribers, the first half women."""
    connection.execute("create schema if not exists marts")
    connection.execute("create table marts.dim_subscribers (subscriber_id text, gender text, age_band text)")
    connection.cursor().executemany(
        "insert into marts.dim_subscribers values (%s, %s, 'unknown')",
        [(person, "female" if row < 50 else "male") for row, person in enumerate(PEOPLE)],
    )


def add_version(
    connection: Connection[DictRow],
    settings: Settings,
    name: str,
    *,
    loo: float = 0.11,
    item_knn: float = 0.05,
    temporal_high: float = 0.25,
    popularity: float = 0.14,
    hit_women: float = 0.5,
    hit_men: float = 0.5,
) -> str:
    """Register `name` with these figures; a share of women and men find their content on top of the list."""
    figures = {
        ("loo", "marquee"): (loo, loo + 0.01),
        ("loo", "item_knn"): (item_knn, item_knn + 0.01),
        ("temporal", "marquee"): (temporal_high - 0.05, temporal_high),
        ("temporal", "popularity"): (popularity, popularity + 0.04),
    }
    metrics = [
        {"protocol": protocol, "model": model, "metric": "ndcg", "k": 10, "value": value, "low": 0.0, "high": high,
         "user_count": 100}
        for (protocol, model), (value, high) in figures.items()
    ]  # fmt: skip
    registry.register(connection, name, NOW, NOW, NOW, metrics, {}, is_gate_passed=False)
    folder = registry.artefact_dir(name, settings) / "evaluation"
    folder.mkdir(parents=True)
    (folder.parent / "manifest.json").write_text("{}")
    place = np.arange(100) % 50
    is_hit = np.where(np.arange(100) < 50, place < hit_women * 50, place < hit_men * 50)
    pd.DataFrame(
        {
            "protocol": "loo",
            "model": "marquee",
            "subscriber_id": PEOPLE,
            "content_id": np.where(is_hit, "wanted", "other"),
            "rank": 1,
            "score": 1.0,
        }
    ).to_parquet(folder / "topk.parquet")
    pd.DataFrame({"protocol": "loo", "subscriber_id": PEOPLE, "content_id": "wanted"}).to_parquet(
        folder / "relevant.parquet"
    )
    connection.commit()
    return name
