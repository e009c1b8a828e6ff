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
from ingestion.source_files import HandedFile, LoadOrder, load_files
from ingestion.staged_import import assumed_consents, staged_files, staging_folder
from ingestion.tracking_plan.page import write_plan_page
from ingestion.tracking_plan.plan import load_plan
from marquee.clock import parse_moment
from marquee.database import connect, exclusive, keep_state, read_state
from marquee.errors import MarqueeError
from marquee.settings import Settings

SOURCES = ("crm", "billing", "invoices", "email_provider", "cms", "events", "consents", "surveys", "activation")

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class IngestionError(MarqueeError):
    """A source cannot be read at all."""


@dataclass(frozen=True)
class IngestedSource:
    """What one load of one source did.

    Attributes:
        watermark: how far the source has been read, at most to the load's own moment.
        concerns: what a person should look at, such as a snapshot that was held.
    """

    source: str
    run_key: str
    read_count: int
    new_count: int
    corrected_count: int
    deleted_count: int
    quarantined_count: int
    watermark: datetime | None
    concerns: tuple[str, ...] = ()


def prepare_extracts(settings: Settings, now: datetime) -> None:
    """Make the demo's extracts exist, unless the data are imported, and put the tracking plan's page up to date.

    Raises:
        DataSetError: MovieLens-100k cannot be fetched.
        TrackingPlanError: a file of the tracking plan is wrong.
    """
    from ingestion.envelope.simulation import generate, is_current
    from ingestion.movielens import load_movielens

    write_plan_page(load_plan(), settings)
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


def ingest_source(
    source: str, run_key: str, now: datetime, settings: Settings, *, accept_loss: bool = False
) -> IngestedSource:
    """Append what is new of `source` to raw, in one transaction; running it again adds nothing.

    Args:
        accept_loss: believe a snapshot that was held because it lacks too many records.

    Raises:
        IngestionError: `source` is none of `SOURCES`, or its extract is not there.
    """
    if source not in SOURCES:
        raise IngestionError(f"there is no source {source!r}; the sources are {', '.join(SOURCES)}")
    order = LoadOrder(run_key, now, accept_loss=accept_loss)
    # durable=False: what a crash of the server loses is loaded again by the next run
    with connect(settings, durable=False) as connection, exclusive(connection, f"ingestion.{source}"):
        counts, concerns = _load(connection, source, order, settings)
        watermark = record_batch(connection, source, run_key, counts, now)
    return IngestedSource(
        source,
        run_key,
        counts.read_count,
        counts.new_count,
        counts.corrected_count,
        counts.deleted_count,
        counts.quarantined_count,
        watermark,
        concerns,
    )


def _load(
    connection: Connection[DictRow], source: str, order: LoadOrder, settings: Settings
) -> tuple[LoadCounts, tuple[str, ...]]:
    if source == "activation":
        return _load_activation(connection, order.now), ()
    counts = NOTHING_LOADED
    if read_state(connection, "dataset") == "import":
        folder = staging_folder(settings)
        files = list(staged_files(source, folder))
        if source == "consents":
            counts += assumed_consents(connection, folder, order.now)
    else:
        files = _extract_files(source, settings)
    loads = list(load_files(connection, files, order))
    for load in loads:
        counts += load.counts
    return counts, tuple(load.concern for load in loads if load.concern)


def _extract_files(source: str, settings: Settings) -> list[HandedFile]:
    folder = settings.extracts_dir / source
    if not folder.is_dir():
        raise IngestionError(f"there is no extract of {source} at {folder}; run `marquee run`, or `marquee import DIR`")
    connector = FILE_CONNECTORS[source]
    return [
        HandedFile(path.name, path, source, connector.table, connector.rows(path), connector.handover, connector.key)
        for path in connector.files(folder)
    ]


def _load_activation(connection: Connection[DictRow], now: datetime) -> LoadCounts:
    row = connection.execute("select watermark from ops.source_watermarks where source = 'activation'").fetchone()
    since = _BEGINNING if row is None else row["watermark"] - activation.HANDOVER.overlap
    choices = load_rows(
        connection, "activation", CONSENT_RECORDS, activation.preference_records(connection, since), now
    )
    shown = load_rows(connection, "activation", EVENTS, activation.impression_records(connection, since), now)
    return choices + shown
