"""What the ingest DAG calls: make the extracts exist, and append what is new of one source to raw.

In: the settings, the run's key and its moment. Out: rows in `raw`, the load's counts. Which data set the warehouse
holds (`demo` or `import`) stands in `ops.state` under `dataset`; `demo_anchor` there is the moment that the demo's
dates are shifted to.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.connectors import FILE_CONNECTORS, activation
from ingestion.loading import NOTHING_LOADED, LoadCounts, load_rows, record_batch
from ingestion.raw_tables import CONSENT_RECORDS, EVENTS
from ingestion.staged_import import staged_loads, staging_folder
from marquee.clock import parse_moment
from marquee.database import connect, exclusive, keep_state, read_state
from marquee.errors import MarqueeError
from marquee.settings import Settings

SOURCES = ("crm", "billing", "email_provider", "cms", "events", "consents", "surveys", "activation")

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class IngestionError(MarqueeError):
    """A source cannot be read at all."""


@dataclass(frozen=True)
class IngestedSource:
    """What one load of one source did."""

    source: str
    run_key: str
    read_count: int
    new_count: int
    quarantined_count: int
    watermark: datetime | None


def prepare_extracts(settings: Settings, now: datetime) -> None:
    """Make the demo's extracts exist; with imported data there is nothing to do.

    Raises:
        DataSetError: MovieLens-100k cannot be fetched.
    """
    from ingestion.envelope.simulation import generate, is_current
    from ingestion.movielens import load_movielens

    with connect(settings) as connection, exclusive(connection, "ingestion.extracts"):
        if read_state(connection, "dataset") == "import":
            return
        kept = read_state(connection, "demo_anchor")
        if kept is not None and is_current(parse_moment(kept), settings.seed, settings):
            return
        data = load_movielens(settings)
        keep_state(connection, "dataset", "demo")
        anchor = parse_moment(keep_state(connection, "demo_anchor", now.isoformat()))
        generate(data.interactions, data.items, data.users, anchor, settings.seed, settings)


def ingest_source(source: str, run_key: str, now: datetime, settings: Settings) -> IngestedSource:
    """Append what is new of `source` to raw, in one transaction; running it again adds nothing.

    Raises:
        IngestionError: `source` is none of `SOURCES`, or its extract is not there.
    """
    if source not in SOURCES:
        raise IngestionError(f"there is no source {source!r}; the sources are {', '.join(SOURCES)}")
    # durable=False: what a crash of the server loses is loaded again by the next run
    with connect(settings, durable=False) as connection, exclusive(connection, f"ingestion.{source}"):
        counts = _load(connection, source, now, settings)
        record_batch(connection, source, run_key, counts, now)
    return IngestedSource(
        source, run_key, counts.read_count, counts.new_count, counts.quarantined_count, counts.watermark
    )


def _load(connection: Connection[DictRow], source: str, now: datetime, settings: Settings) -> LoadCounts:
    if source == "activation":
        return _load_activation(connection, now)
    if read_state(connection, "dataset") == "import":
        counts = NOTHING_LOADED
        for load in staged_loads(source, staging_folder(settings)):
            counts += load_rows(connection, load.source, load.table, load.rows, now)
        return counts
    folder = settings.extracts_dir / source
    if not folder.is_dir():
        raise IngestionError(f"there is no extract of {source} at {folder}; run `marquee run`, or `marquee import DIR`")
    connector = FILE_CONNECTORS[source]
    return load_rows(connection, source, connector.table, connector.rows(folder), now)


def _load_activation(connection: Connection[DictRow], now: datetime) -> LoadCounts:
    row = connection.execute("select watermark from ops.source_watermarks where source = 'activation'").fetchone()
    since = _BEGINNING if row is None else row["watermark"] - activation.OVERLAP
    choices = load_rows(
        connection, "activation", CONSENT_RECORDS, activation.preference_records(connection, since), now
    )
    shown = load_rows(connection, "activation", EVENTS, activation.impression_records(connection, since), now)
    counts = choices + shown
    # a row from ahead of the clock must not hide what comes before it
    watermark = None if counts.watermark is None else min(counts.watermark, now)
    return LoadCounts(counts.read_count, counts.new_count, counts.quarantined_count, watermark)
