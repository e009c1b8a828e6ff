"""Which model serves: the newest of ops.model_promotions, loaded beside the one that answers, then put in its place.

In: the promotions and the models folder. Out: an `Artefact`, or None before the first promotion. A version that does
not load leaves the one before it in service.
"""

from pathlib import Path

import structlog
from psycopg import Connection
from psycopg.rows import DictRow

from activation.serving.artefact import Artefact, ArtefactError, load_artefact

_log = structlog.get_logger()


class Champion:
    """Holds the model in service. One thread calls `refresh`; any number read `artefact`."""

    def __init__(self, models_dir: Path) -> None:
        self._models_dir = models_dir
        self.artefact: Artefact | None = None
        self.load_error: str | None = None
        self._failed_version: str | None = None

    def refresh(self, connection: Connection[DictRow]) -> None:
        """Load the promoted version into `artefact` unless it is there already."""
        version = promoted_version(connection)
        if version is None or (self.artefact is not None and self.artefact.model_version == version):
            self.load_error = self._failed_version = None
            return
        try:
            artefact = load_artefact(self._models_dir / version)
        except ArtefactError as error:
            if self._failed_version != version:
                _log.error("the promoted model does not load; the one before it goes on", reason=str(error))
            self._failed_version = version
            self.load_error = str(error)
            return
        self.artefact = artefact
        self.load_error = self._failed_version = None
        _log.info("another model serves", model_version=version)


def promoted_version(connection: Connection[DictRow]) -> str | None:
    """The version that ops names champion."""
    row = connection.execute(
        "select model_version from ops.model_promotions order by promotion_id desc limit 1"
    ).fetchone()
    return None if row is None else str(row["model_version"])
