"""One file a source: the model of a row as its system writes it, and the raw table that it goes to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from ingestion.connectors import billing, cms, consents, crm, email_provider, events, invoices, surveys
from ingestion.handover import Feed, Handover, Snapshot
from ingestion.raw_tables import RawTable
from ingestion.reading import read_csv, read_json_items, read_json_lines
from ingestion.records import Row

_CSV = ("*.csv",)
_JSON = ("*.json",)
_JSON_LINES = ("*.jsonl", "*.jsonl.gz")


@dataclass(frozen=True)
class FileConnector:
    """A source that hands over files: which they are, how one is read, where its rows go.

    Attributes:
        key: name of the field that holds a record's id, as the system writes it.
        handover: what a file of this source says about the records that it lacks.
    """

    table: RawTable
    patterns: tuple[str, ...]
    read: Callable[[Path], Iterator[Row]]
    key: str
    handover: Handover

    def files(self, folder: Path) -> list[Path]:
        """The source's files under `folder`, by name."""
        return sorted(path for pattern in self.patterns for path in folder.glob(pattern))

    def rows(self, path: Path) -> Iterator[Row]:
        """Every row of one file."""
        return self.read(path)


FILE_CONNECTORS = {
    "crm": FileConnector(crm.TABLE, _CSV, partial(read_csv, model=crm.Contact), "crm_id", Snapshot(largest_loss=0.3)),
    "billing": FileConnector(
        billing.TABLE,
        _JSON_LINES,
        partial(read_json_lines, model=billing.Subscription),
        "id",
        Feed("incremental", overlap=timedelta(days=3)),
    ),
    "invoices": FileConnector(
        invoices.TABLE,
        _JSON_LINES,
        partial(read_json_lines, model=invoices.Invoice),
        "id",
        Feed("incremental", overlap=timedelta(days=3)),
    ),
    "email_provider": FileConnector(
        email_provider.TABLE,
        _JSON_LINES,
        partial(read_json_lines, model=email_provider.EmailEvent),
        "sg_event_id",
        Feed("events", overlap=timedelta(days=3)),
    ),
    "cms": FileConnector(
        cms.TABLE, _JSON, partial(read_json_items, model=cms.ContentItem), "id", Snapshot(largest_loss=0.3)
    ),
    "events": FileConnector(
        events.TABLE,
        _JSON_LINES,
        events.read_calls,
        "messageId",
        # phones that were offline hand their events over late
        Feed("events", overlap=timedelta(days=7)),
    ),
    "consents": FileConnector(
        consents.TABLE,
        _CSV,
        partial(read_csv, model=consents.ConsentRecord),
        "identifier",
        Feed("incremental", overlap=timedelta(days=7)),
    ),
    "surveys": FileConnector(
        surveys.TABLE,
        _CSV,
        partial(read_csv, model=surveys.Answer),
        "user_id",
        Feed("incremental", overlap=timedelta(days=7)),
    ),
}
