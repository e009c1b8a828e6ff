"""Small extracts of each source system, written by hand, and what the database holds after a load."""

import gzip
import json
from pathlib import Path

from psycopg import Connection, sql
from psycopg.rows import DictRow

from marquee.settings import Settings


def write(settings: Settings, source: str, name: str, text: str | bytes) -> Path:
    """Put one file into the extract of `source`."""
    path = settings.extracts_dir / source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def json_lines(*rows: object) -> str:
    """Rows as JSON lines; a text goes in as it is."""
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


def rows_of(connection: Connection[DictRow], table: str, *columns: str) -> list[tuple[object, ...]]:
    """Columns of a raw table in the order in which the rows were appended."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = sql.SQL("select {} from raw.{} order by raw_id").format(names, sql.Identifier(table))
    return [tuple(row.values()) for row in connection.execute(query)]


def set_aside(connection: Connection[DictRow]) -> list[tuple[object, ...]]:
    """(source, file, line, field, value) of the quarantine."""
    return [
        tuple(row.values())
        for row in connection.execute(
            "select source, file, line, field, value from ops.quarantined_rows order by source, file, line"
        )
    ]


def counts(connection: Connection[DictRow]) -> dict[str, int]:
    """How many rows each table of raw and ops holds."""
    tables = connection.execute(
        "select schemaname, tablename from pg_tables where schemaname in ('raw', 'ops') order by 1, 2"
    ).fetchall()
    found = {}
    for table in tables:
        name = sql.Identifier(table["schemaname"], table["tablename"])
        row = connection.execute(sql.SQL("select count(*) as rows from {}").format(name)).fetchone()
        assert row is not None
        found[f"{table['schemaname']}.{table['tablename']}"] = int(row["rows"])
    return found
