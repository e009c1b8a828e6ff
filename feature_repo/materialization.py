"""Copies the newest value of every feature online, takes away what has none any more, and records each view's rows.

In: the moment until which values count. Out: rows by view, also in `ops.materializations`. Who withdrew consent, or was
erased, has no row in the feature tables after the next build, and must not go on having one online.
"""

from datetime import UTC, datetime

from feast import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from psycopg import Connection, sql
from psycopg.rows import DictRow

from feature_repo.definitions import CONTENT, SUBSCRIBER, VIEWS
from feature_repo.store import ENTITY_KEY_VERSION, PROJECT, SCHEMA, close_store, open_store
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
            table = _online_table(view)
            _forget_the_gone(connection, view, until)
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


def _online_table(view: FeatureView) -> sql.Identifier:
    return sql.Identifier(SCHEMA, f"{PROJECT}_{view.name}")


def _forget_the_gone(connection: Connection[DictRow], view: FeatureView, until: datetime) -> None:
    """Take away values of entities without a row in the feature table; what was pushed after `until` stays."""
    # the view's own entity columns are known to the process that applied it only
    key = {entity.name: entity.join_key for entity in (SUBSCRIBER, CONTENT)}[view.entities[0]]
    there = connection.execute(
        sql.SQL("select distinct {} as id from features.{} where event_timestamp <= %s").format(
            sql.Identifier(key), sql.Identifier(view.name)
        ),
        (until,),
    )
    kept = {_entity_key(key, row["id"]) for row in there}
    # Feast writes moments in UTC, without their zone
    online = connection.execute(
        sql.SQL("select distinct entity_key from {} where event_ts <= %s").format(_online_table(view)),
        (until.astimezone(UTC).replace(tzinfo=None),),
    )
    gone = [row["entity_key"] for row in online if row["entity_key"] not in kept]
    connection.execute(sql.SQL("delete from {} where entity_key = any(%s)").format(_online_table(view)), (gone,))


def _entity_key(name: str, value: str) -> bytes:
    key = EntityKey(join_keys=[name], entity_values=[Value(string_val=value)])
    serialized: bytes = serialize_entity_key(key, entity_key_serialization_version=ENTITY_KEY_VERSION)
    return serialized
