"""Registered versions with just enough of an artefact for the gate and the registry."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from psycopg import Connection
from psycopg.rows import DictRow

from marquee.settings import Settings
from training import gate, registry, verdicts
from training.checks import STEPS
from training.poisoning import sift
from training.thresholds import load_thresholds
from training.verdicts import ModelVerdict

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PEOPLE = [f"s{n}" for n in range(100)]


def add_people(connection: Connection[DictRow]) -> None:
    """A hundred subscribers, the first half women."""
    connection.execute("create schema if not exists marts")
    connection.execute(
        "create table marts.dim_subscribers "
        "(subscriber_id text, gender text, age_band text, region text, plan text, acquired_at timestamptz)"
    )
    connection.cursor().executemany(
        "insert into marts.dim_subscribers values (%s, %s, 'unknown', 'eu', 'basic', %s)",
        [(person, "female" if row < 50 else "male", NOW) for row, person in enumerate(PEOPLE)],
    )


def add_version(
    connection: Connection[DictRow],
    settings: Settings,
    name: str,
    *,
    loo: float = 0.11,
    ease: float = 0.05,
    temporal_high: float = 0.25,
    popularity: float = 0.14,
    hit_women: float = 0.5,
    hit_men: float = 0.5,
    wanted: str = "c000",
    data_until: datetime = NOW,
) -> str:
    """Register `name` with these figures; a share of women and men find their content on top of the list."""
    figures = {
        ("loo", "marquee"): (loo, loo + 0.01),
        ("loo", "ease"): (ease, ease + 0.01),
        ("temporal", "marquee"): (temporal_high - 0.05, temporal_high),
        ("temporal", "popularity"): (popularity, popularity + 0.04),
    }
    metrics = [
        {"protocol": protocol, "model": model, "metric": "ndcg", "k": 10, "value": value, "low": value - 0.01,
         "high": high, "user_count": 100}
        for (protocol, model), (value, high) in figures.items()
    ]  # fmt: skip
    registry.register(connection, name, NOW, NOW, data_until, metrics)
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
            # everybody else is shown something of their own, so that no group is narrower than another
            "content_id": np.where(is_hit, wanted, [f"other-{person}" for person in PEOPLE]),
            "rank": 1,
            "score": 1.0,
        }
    ).to_parquet(folder / "topk.parquet")
    pd.DataFrame({"protocol": "loo", "subscriber_id": PEOPLE, "content_id": wanted}).to_parquet(
        folder / "relevant.parquet"
    )
    connection.commit()
    return name


def write_training_set(run_key: str, settings: Settings, last: str = "c000", duplicates: int = 0) -> None:
    """Everybody's history, which ends with the content `last` at NOW; some of the rows twice over."""
    rows = [(person, f"c{n + 1:03}", NOW - timedelta(days=9 - n)) for person in PEOPLE for n in range(9)]
    rows += [(person, last, NOW) for person in PEOPLE]
    log = pd.DataFrame(rows, columns=["subscriber_id", "content_id", "occurred_at"])
    log = log.assign(watched_fraction=0.9, device_type="web", is_simulated=False)
    log = log.sort_values("occurred_at", kind="stable")
    sifted = sift(pd.concat([log, log.tail(duplicates)]), load_thresholds(settings.gate_file).batch)
    folder = settings.models_dir / ".work" / run_key
    folder.mkdir(parents=True, exist_ok=True)
    sifted.kept.to_parquet(folder / "interactions.parquet")
    sifted.aside.to_parquet(folder / "set_aside.parquet")
    pd.DataFrame(
        {"content_id": [f"c{n:03}" for n in range(10)], "content_type": "video", "title": "",
         "genre_vector": [[1.0]] * 10, "published_at": NOW, "is_simulated": False}
    ).to_parquet(folder / "contents.parquet")  # fmt: skip


def judge(run_key: str, name: str, settings: Settings, duplicates: int = 0, last: str = "c000") -> ModelVerdict:
    """Every step of the gate, the verdict, and what follows from it."""
    write_training_set(run_key, settings, last, duplicates)
    for step in STEPS:
        gate.check_version(step, run_key, name, settings)
    verdict = verdicts.decide(run_key, name, NOW, settings)
    verdicts.publish(run_key, NOW, settings)
    return verdict
