"""One file a source: the model of a row as its system writes it, and the raw table that it goes to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ingestion.connectors import billing, cms, consents, crm, email_provider, events, surveys
from ingestion.raw_tables import RawTable
from ingestion.reading import read_csv, read_json_items, read_json_lines
from ingestion.records import Record, Rejection, SourceModel


@dataclass(frozen=True)
class FileConnector:
    """A source that hands over files: how they are read, what a row is, where it goes."""

    table: RawTable
    model: type[SourceModel]
    read: Callable[[Path, type[SourceModel]], Iterator[Record | Rejection]]

    def rows(self, folder: Path) -> Iterator[Record | Rejection]:
        """Every row of the source's files under `folder`."""
        return self.read(folder, self.model)


FILE_CONNECTORS = {
    "crm": FileConnector(crm.TABLE, crm.Contact, read_csv),
    "billing": FileConnector(billing.TABLE, billing.Subscription, read_json_lines),
    "email_provider": FileConnector(email_provider.TABLE, email_provider.EmailEvent, read_json_lines),
    "cms": FileConnector(cms.TABLE, cms.ContentItem, read_json_items),
    "events": FileConnector(events.TABLE, events.Call, read_json_lines),
    "consents": FileConnector(consents.TABLE, consents.ConsentRecord, read_csv),
    "surveys": FileConnector(surveys.TABLE, surveys.Answer, read_csv),
}
