"""Access to PostgreSQL: where the databases are, connections, locks, and the tables that each room declares.

In: settings. Out: psycopg connections and URLs for the tools that open their own (dbt, Feast, Airflow).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import Connection, sql
from psycopg.rows import DictRow, dict_row

from marquee import embedded_postgres
from marquee.errors import MarqueeError
from marquee.settings import PROJECT_ROOT, Settings, load_settings

WAREHOUSE = "marquee"
AIRFLOW = "airflow"

# as libpq counts versions
_OWN_LOCALE_SINCE = 170000

# Each room declares its own tables; dbt and Feast make theirs.
_SCHEMA_FILES = (
    "marquee/schema.sql",
    "ingestion/schema.sql",
    *(
        f"ingestion/identity/{part}.sql"
        for part in ("schema", "evidence", "incoming", "resolution", "settling", "reading", "suspicion")
    ),
    "ingestion/segments/schema.sql",
    "activation/schema.sql",
)


class DatabaseError(MarqueeError):
    """The database cannot be reached or is not set up."""


def warehouse_url(settings: Settings) -> str:
    """URL of the warehouse, as psycopg takes it.

    Raises:
        DatabaseError: the embedded server is wanted and not running.
    """
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return _on_embedded(settings, WAREHOUSE)


def airflow_url(settings: Settings) -> str:
    """URL of Airflow's metadata database, as psycopg takes it."""
    if settings.airflow_database_url is not None:
        return settings.airflow_database_url.get_secret_value()
    if settings.database_url is not None:
        return with_database(settings.database_url.get_secret_value(), AIRFLOW)
    return _on_embedded(settings, AIRFLOW)


def sqlalchemy_url(url: str) -> str:
    """The same address for SQLAlchemy with psycopg2, which Airflow and Feast use."""
    _, _, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}"


def with_database(url: str, database: str) -> str:
    """`url` with another database of the same server."""
    parts = urlsplit(url)
    # urlunsplit drops the empty authority that a socket address has ("postgresql:///db?host=...")
    return urlunsplit(parts._replace(netloc=parts.netloc or "postgres@", path=f"/{database}"))


def connection_parts(url: str) -> dict[str, str | int]:
    """host, port, user, password and dbname of `url`, for tools that take them apart (dbt, Feast)."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return {
        "host": query["host"][0] if "host" in query else (parts.hostname or "localhost"),
        "port": parts.port or 5432,
        "user": unquote(parts.username or "postgres"),
        "password": unquote(parts.password or ""),
        "dbname": parts.path.lstrip("/"),
    }


def connect(settings: Settings | None = None, *, durable: bool = True) -> Connection[DictRow]:
    """Open a connection to the warehouse whose rows are dicts.

    `durable=False` lets a commit return before it is on disk: for work that the next run does again anyway (loads that
    are idempotent by key), never for a claim of an outside effect.

    Raises:
        DatabaseError: the server is not reachable.
    """
    settings = settings or load_settings()
    options = "-c timezone=UTC" + ("" if durable else " -c synchronous_commit=off")
    try:
        return psycopg.connect(
            warehouse_url(settings), row_factory=dict_row, application_name="marquee", options=options
        )
    except psycopg.OperationalError as error:
        raise DatabaseError(f"the warehouse is not reachable ({error}); start it with `marquee up`") from error


@contextmanager
def exclusive(connection: Connection[DictRow], name: str) -> Iterator[None]:
    """Hold the advisory lock called `name` until the surrounding transaction ends; waits for who has it."""
    connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))
    yield


def prepare(settings: Settings) -> None:
    """Make the databases and every room's declared tables exist. Safe to call again at any time."""
    if settings.is_database_embedded:
        url = embedded_postgres.start(settings)
        create_database(url, WAREHOUSE)
        create_database(url, AIRFLOW)
    apply_schemas(warehouse_url(settings))


def apply_schemas(url: str) -> None:
    """Run every room's declared tables (each file can run again) against the database at `url`.

    Raises:
        DatabaseError: the database's encoding is not UTF8.
    """
    with psycopg.connect(url, row_factory=dict_row) as connection, exclusive(connection, "marquee.schemas"):
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise DatabaseError(
                f"the database {connection.info.dbname!r} has the encoding {encoding}, which keeps no text; "
                "make it with `create database ... encoding 'UTF8' template template0`"
            )
        for name in _SCHEMA_FILES:
            path = PROJECT_ROOT / Path(name)
            if path.exists():
                connection.execute(path.read_bytes())


def read_state(connection: Connection[DictRow], name: str) -> str | None:
    """A value that must outlive a process, such as the moment to which the demo's dates are shifted."""
    row = connection.execute("select value from ops.state where name = %s", (name,)).fetchone()
    return None if row is None else str(row["value"])


def keep_state(connection: Connection[DictRow], name: str, value: str) -> str:
    """Store `value` under `name` unless one is there already, and return the one that is kept."""
    connection.execute(
        "insert into ops.state (name, value) values (%s, %s) on conflict (name) do nothing", (name, value)
    )
    kept = read_state(connection, name)
    assert kept is not None
    return kept


def _on_embedded(settings: Settings, database: str) -> str:
    url = embedded_postgres.address(settings)
    if url is None:
        raise DatabaseError("the embedded PostgreSQL is not running; start it with `marquee up`")
    return with_database(url, database)


def create_database(url: str, name: str) -> None:
    """Make the database `name` on the server at `url`, unless it is there.

    Where the server has a locale of its own, it sorts by that: the same on every machine, whatever the C library's is.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone() is not None:
            return
        has_own_locale = connection.info.server_version >= _OWN_LOCALE_SINCE
        locale = "template template0 encoding 'UTF8' locale_provider builtin builtin_locale 'C.UTF-8'"
        connection.execute(
            sql.SQL("create database {} {}").format(sql.Identifier(name), sql.SQL(locale if has_own_locale else ""))
        )
