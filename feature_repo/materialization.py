"""Copies the newest value of every feature online, and records how many rows each view then has.

In: the moment until which values count. Out: rows by view, also in `ops.materializations`.
"""

from datetime import UTC, datetime

from psycopg import sql

from feature_repo.definitions import VIEWS
from feature_repo.store import PROJECT, SCHEMA, close_store, open_store
from marquee import database
from marquee.settings import Settings

_BEGINNING = datetime(1990, 1, 1, tzinfo=UTC)


def materialize(run_key: str, until: datetime, settings: Settings) -> dict[str, int]:
    """Materialize every view up to `until`; the same call again writes the same values.

    Each view starts from the beginning: a subscriber's last row may be old, and the online store keeps one row a key.
    """
    store = open_store(settings)
    try:
        store.materialize(start_date=_BEGINNING, end_date=until, feature_views=[view.name for view in VIEWS])
    finally:
        close_store(store)
    with database.connect(settings) as connection:
        counts: dict[str, int] = {}
        for view in VIEWS:
            table = sql.Identifier(SCHEMA, f"{PROJECT}_{view.name}")
            row = connection.execute(sql.SQL("select count(distinct entity_key) as n from {}").format(table)).fetchone()
            assert row is not None
            counts[view.name] = int(row["n"])
            connection.execute(
                "insert into ops.materializations (run_key, feature_view, row_count, features_until) "
                "values (%s, %s, %s, %s) on conflict (run_key, feature_view) do update set "
                "row_count = excluded.row_count, features_until = excluded.features_until, finished_at = now()",
                (run_key, view.name, counts[view.name], until),
            )
    return counts
