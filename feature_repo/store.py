"""The feature store of this deployment: registry, offline and online store, all in the warehouse's PostgreSQL.

In: settings. Out: a Feast `FeatureStore`; its own tables lie in the schema `feast`.
"""

from urllib.parse import quote, urlencode

from feast import FeatureStore, RepoConfig

from feature_repo import definitions
from marquee import database
from marquee.settings import PROJECT_ROOT, Settings

PROJECT = "marquee"
SCHEMA = "feast"
ENTITY_KEY_VERSION = 3
# A request must not read the registry: a process sees new definitions after this time, or when it opens a store anew.
_REGISTRY_CACHE_SECONDS = 600


def open_store(settings: Settings) -> FeatureStore:
    """A store for this process; opening costs a registry read, so keep it."""
    parts = database.connection_parts(database.warehouse_url(settings))
    connection = {
        "type": "postgres",
        "host": parts["host"],
        "port": parts["port"],
        "database": parts["dbname"],
        "user": parts["user"],
        "password": parts["password"],
        "sslmode": "prefer",
    }
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry={
            "registry_type": "sql",
            "path": _registry_url(parts),
            "cache_ttl_seconds": _REGISTRY_CACHE_SECONDS,
        },
        offline_store={**connection, "db_schema": SCHEMA},
        online_store={**connection, "db_schema": SCHEMA, "conn_type": "pool", "min_conn": 1, "max_conn": 8},
        entity_key_serialization_version=ENTITY_KEY_VERSION,
    )
    return FeatureStore(config=config, repo_path=str(PROJECT_ROOT / "feature_repo"))


def close_store(store: FeatureStore) -> None:
    """Give back the connections of a store; Feast 0.67's own close leaves them open until the process ends."""
    pool = getattr(store._get_provider().online_store, "_conn_pool", None)
    if pool is not None:
        pool.close(timeout=2)
    store.registry.write_engine.dispose()


def apply_definitions(settings: Settings) -> None:
    """Register entities, views and services; applying the same ones again changes nothing."""
    store = open_store(settings)
    try:
        store.apply(list(definitions.DEFINITIONS))
    finally:
        close_store(store)


def _registry_url(parts: dict[str, str | int]) -> str:
    login = f"{quote(str(parts['user']))}:{quote(str(parts['password']), safe='')}"
    query = urlencode({"host": parts["host"], "port": parts["port"], "options": f"-csearch_path={SCHEMA}"})
    return f"postgresql+psycopg2://{login}@/{parts['dbname']}?{query}"
