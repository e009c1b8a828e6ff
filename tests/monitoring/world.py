"""A small warehouse with a champion, written by hand: every test changes the one thing that it is about."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from marquee.settings import Settings

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
RUN = "scheduled__2026-03-01T06:00:00+00:00"
CHAMPION = "20260228T000000-0a1b2c3d"
SUBSCRIBER_COUNT = 240
CONTENT_COUNT = 120
_GENRES = ("drama", "comedy", "action", "documentary")
_SOURCES = ("crm", "billing", "email_provider", "cms", "events", "consents", "surveys", "activation")
_VIEWS = ("ftr_subscriber__sequence", "ftr_content__popularity")

# place of the hit in the list of the n-th subscriber; none: no hit
RankOfHit = Callable[[int], int | None]

_TABLES = """
create schema if not exists marts;
create table marts.dim_subscribers (
    subscriber_id text, gender text, age_band text, lifecycle_stage text, plan text, region text,
    acquired_at timestamptz
);
create table marts.dim_content (content_id text, title text, genres text[], is_simulated boolean);
create table marts.fct_content_tag_issues (
    content_id text, title text, content_type text, issue text, tags text, detail text
);
create table marts.fct_identity_suspects (
    subscriber_id text, reason text, points integer, score integer, identifier text, other_identifier text, source text,
    evidence_id text, found_count integer, detail text
);
create table marts.fct_high_value_paths (
    outcome text, path text[], subscriber_count bigint, support float8, lift float8, lift_low float8, lift_high float8,
    is_simulated boolean
);
create table marts.fct_interactions (
    subscriber_id text, content_id text, occurred_at timestamptz, interaction_type text, watched_fraction float8,
    device_type text, has_personalization_consent boolean
);
create table features.ftr_subscriber__activity (
    subscriber_id text, event_timestamp timestamptz, created_at timestamptz, interaction_count_7d bigint,
    interaction_count_28d bigint, interaction_count bigint, mean_watched_fraction_28d float8,
    distinct_genre_count_28d bigint, top_genre text, genre_affinity float8[], last_device_type text
);
create table features.ftr_subscriber__profile (
    subscriber_id text, created_at timestamptz, age_band text, gender text, plan text, region text,
    lifecycle_stage text
);
"""


def subscriber(n: int) -> str:
    return f"s{n:04d}"


def content(n: int) -> str:
    return f"c{n % CONTENT_COUNT:03d}"


def every(step: int, rank: int = 1) -> RankOfHit:
    """A hit for every `step`-th subscriber."""
    return lambda n: rank if n % step == 0 else None


def even_hits(n: int) -> int | None:
    """Half of every group: gender goes by the last bit, age band by thirds."""
    return 1 if n // 6 % 2 == 0 else None


@dataclass
class World:
    """The warehouse and the artefact folder of one test."""

    connection: Connection[DictRow]
    settings: Settings
    features: pd.DataFrame = field(default_factory=lambda: present_features())

    def build(self) -> "World":
        """Everything fresh, even and undrifted."""
        self.connection.execute(_TABLES)
        self.write_marts()
        self.write_features()
        self.write_traffic(NOW, "web")
        self.write_traffic(NOW - timedelta(days=28), "web")
        for source in _SOURCES:
            self.load_source(source, NOW - timedelta(hours=2), NOW - timedelta(hours=3))
        for view in _VIEWS:
            self.materialize(view, 100, NOW - timedelta(hours=1))
        self.promote(CHAMPION, NOW - timedelta(hours=1))
        self.write_artefact(CHAMPION)
        self.connection.commit()
        return self

    def write_marts(self) -> None:
        rows = [
            (subscriber(n), ("female", "male")[n % 2], ("under_25", "25_34", "35_44")[n % 3],
             ("active", "lapsed")[n // 2 % 2], ("free", "premium")[n // 12 % 2], ("eu", "us")[n // 24 % 2],
             NOW - timedelta(days=(20, 60)[n // 48 % 2]))
            for n in range(SUBSCRIBER_COUNT)
        ]  # fmt: skip
        self._insert("marts.dim_subscribers", rows)
        titles = [
            (content(n), f"Title {n}", [_GENRES[n % 4], _GENRES[(n + n // 4) % 4]], False) for n in range(CONTENT_COUNT)
        ]
        self._insert("marts.dim_content", titles)

    def write_features(self) -> None:
        """Put `features` in as the present ones."""
        self.connection.execute("truncate features.ftr_subscriber__activity, features.ftr_subscriber__profile")
        profile = ["subscriber_id", "created_at", "age_band", "gender", "plan", "region", "lifecycle_stage"]
        activity = [column for column in self.features if column not in profile[2:]]
        self._insert("features.ftr_subscriber__activity", _rows(self.features[activity]))
        self._insert("features.ftr_subscriber__profile", _rows(self.features[profile]))
        self.connection.commit()

    def write_traffic(self, until: datetime, device_type: str, count: int = 200) -> None:
        """Interactions spread over the 28 days that end at `until`."""
        rows = [
            (subscriber(n), content(n), until - timedelta(days=28 * (n + 0.5) / count), "play", n % 10 / 10,
             device_type, True)
            for n in range(count)
        ]  # fmt: skip
        self._insert("marts.fct_interactions", rows)
        self.connection.commit()

    def load_source(self, source: str, loaded_at: datetime, newest: datetime | None) -> None:
        """Let this be the only load of `source`."""
        self.connection.execute("delete from ops.ingest_batches where source = %s", (source,))
        self.connection.execute(
            "insert into ops.ingest_batches "
            "(source, run_key, started_at, read_count, new_count, quarantined_count, watermark) "
            "values (%s, 'r', %s, 1, 1, 0, %s)",
            (source, loaded_at, newest),
        )
        self.connection.commit()

    def materialize(self, view: str, row_count: int, until: datetime) -> None:
        self.connection.execute(
            "insert into ops.materializations (run_key, feature_view, row_count, features_until) "
            "values ('r', %s, %s, %s) on conflict (run_key, feature_view) do update set "
            "row_count = excluded.row_count, features_until = excluded.features_until",
            (view, row_count, until),
        )
        self.connection.commit()

    def register(self, version: str, trained_at: datetime, data_until: datetime) -> None:
        self.connection.execute(
            "insert into ops.model_versions "
            "(model_version, trained_at, data_from, data_until, metrics) "
            "values (%s, %s, %s, %s, %s) on conflict (model_version) do update set "
            "trained_at = excluded.trained_at, data_until = excluded.data_until",
            (version, trained_at, data_until - timedelta(days=90), data_until, Jsonb([])),
        )
        self.connection.commit()

    def promote(self, version: str, trained_at: datetime) -> None:
        """Let `version` be trained and serve from `trained_at` on."""
        self.register(version, trained_at, trained_at)
        self.connection.execute(
            "insert into ops.model_promotions (model_version, promoted_at, reason) values (%s, %s, 'test')",
            (version, trained_at),
        )
        self.connection.commit()

    def serve(self, reasons: Mapping[str | None, int], shown_at: datetime) -> None:
        """Answers by reason of the fallback; none is a personal list."""
        rows = [(reason is not None, reason, shown_at) for reason, count in reasons.items() for _ in range(count)]
        with self.connection.cursor() as cursor:
            cursor.executemany(
                "insert into activation.impressions "
                "(request_id, surface, is_fallback, fallback_reason, content_ids, shown_at) "
                "values (gen_random_uuid(), 'homepage', %s, %s, '{}', %s)",
                rows,
            )
        self.connection.commit()

    def say_that_events_are_simulated(self) -> None:
        self.connection.execute(
            "insert into raw.events (source, message_id, event_type, occurred_at, is_simulated) "
            "values ('events', 'm', 'track', %s, true)",
            (NOW,),
        )
        self.connection.commit()

    def write_artefact(
        self,
        version: str,
        hits: Mapping[str, RankOfHit] | None = None,
        temporal_hits: Mapping[str, RankOfHit] | None = None,
        reference: pd.DataFrame | None = None,
        *,
        has_one_list: bool = False,
    ) -> Path:
        """The files that monitoring reads, in the format of docs/ARCHITECTURE.md.

        `has_one_list` gives every subscriber the same titles around the hit.
        """
        even: dict[str, RankOfHit] = {"marquee": even_hits, "item_knn": every(5, 4), "popularity": every(9, 8)}
        folder = self.settings.models_dir / version
        (folder / "evaluation").mkdir(parents=True, exist_ok=True)
        loo = _evaluation("loo", {**even, **(hits or {})}, SUBSCRIBER_COUNT, has_one_list)
        temporal = _evaluation("temporal", {**even, **(temporal_hits or {})}, 60, has_one_list)
        for name, frames in zip(("topk", "relevant", "seen"), zip(loo, temporal, strict=True), strict=True):
            pd.concat(frames).to_parquet(folder / "evaluation" / f"{name}.parquet", index=False)
        (self.features if reference is None else reference).to_parquet(
            folder / "reference_features.parquet", index=False
        )
        (folder / "manifest.json").write_text(json.dumps({"model_version": version}))
        return folder

    def findings(self, kind: str, run_key: str = RUN) -> dict[tuple[str, str], DictRow]:
        """Rows of a check by subject and metric."""
        rows = self.connection.execute(
            "select * from ops.quality_verdicts where check_kind = %s and run_key = %s", (kind, run_key)
        ).fetchall()
        return {(row["subject"], row["metric"]): row for row in rows}

    def concerns(self, kind: str) -> dict[str, str]:
        """Verdict of each subject that did not pass."""
        found = self.findings(kind)
        return {subject: row["verdict"] for (subject, _), row in found.items() if row["verdict"] != "pass"}

    def _insert(self, table: str, rows: list[tuple[object, ...]]) -> None:
        places = ", ".join(["%s"] * len(rows[0]))
        with self.connection.cursor() as cursor:
            cursor.executemany(f"insert into {table} values ({places})".encode(), rows)


def present_features() -> pd.DataFrame:
    """Features of every subscriber, with some spread in every column."""
    numbers = np.random.default_rng(3)
    n = np.arange(SUBSCRIBER_COUNT)
    taste = numbers.dirichlet(np.ones(4), SUBSCRIBER_COUNT)
    return pd.DataFrame(
        {
            "subscriber_id": [subscriber(i) for i in n],
            "event_timestamp": NOW - timedelta(days=3),
            "created_at": NOW - timedelta(hours=1),
            "interaction_count_7d": numbers.poisson(4, SUBSCRIBER_COUNT),
            "interaction_count_28d": numbers.poisson(12, SUBSCRIBER_COUNT),
            "interaction_count": numbers.poisson(40, SUBSCRIBER_COUNT),
            "mean_watched_fraction_28d": numbers.uniform(0.2, 0.9, SUBSCRIBER_COUNT),
            "distinct_genre_count_28d": numbers.integers(1, 5, SUBSCRIBER_COUNT),
            "top_genre": np.array(_GENRES)[taste.argmax(axis=1)],
            "genre_affinity": list(taste.tolist()),
            "last_device_type": np.array(["web", "mobile", "connected_tv"])[n % 3],
            "age_band": np.array(["under_25", "25_34", "35_44"])[n % 3],
            "gender": np.array(["female", "male"])[n % 2],
            "plan": np.array(["free", "premium"])[n % 2],
            "region": np.array(["eu", "us"])[n // 3 % 2],
            "lifecycle_stage": np.array(["active", "lapsed"])[n // 2 % 2],
        }
    )


def _evaluation(
    protocol: str, hits: Mapping[str, RankOfHit], count: int, has_one_list: bool
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    topk = [
        (protocol, model, subscriber(n), content_id, rank, 1.0 / rank)
        for model, rank_of_hit in hits.items()
        for n in range(count)
        for rank, content_id in enumerate(_list(0 if has_one_list else n, wanted(n), rank_of_hit(n)), start=1)
    ]
    relevant = [(protocol, subscriber(n), wanted(n)) for n in range(count)]
    seen = [(protocol, subscriber(n), content(n + 50 + step)) for n in range(count) for step in range(1 + n % 40)]
    key = ["protocol", "subscriber_id", "content_id"]
    return (
        pd.DataFrame(topk, columns=["protocol", "model", "subscriber_id", "content_id", "rank", "score"]),
        pd.DataFrame(relevant, columns=key),
        pd.DataFrame(seen, columns=key),
    )


def wanted(n: int) -> str:
    """What is to be found for the n-th subscriber."""
    return content(n)


def _list(start: int, hit: str, rank: int | None) -> list[str]:
    """Twelve titles, the hit at its place: two more than the metrics look at."""
    others = [content_id for step in range(1, 14) if (content_id := content(start + 3 * step)) != hit][:12]
    return others if rank is None else [*others[: rank - 1], hit, *others[rank - 1 : 11]]


def _rows(frame: pd.DataFrame) -> list[tuple[object, ...]]:
    plain = frame.astype(object).where(frame.notna(), None)
    return list(plain.itertuples(index=False, name=None))
