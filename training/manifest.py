"""`manifest.json` of an artefact as a type: what a version was made from, and the hash of each of its files."""

import hashlib
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

MANIFEST = "manifest.json"
CARD = "model_card.html"
LOSSES = "losses.json"


class Manifest(BaseModel):
    """The fields of docs/ARCHITECTURE.md, "Model artefact"; `files` maps each file's path to its sha256."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_version: str
    trained_at: datetime
    data_from: datetime
    data_until: datetime
    code_version: str
    source_revision: str | None = None
    run_key: str
    seed: int
    parameters: dict[str, int | float | str]
    sequence_length: int
    embedding_size: int
    ranker_features: tuple[str, ...]
    tower_inputs: tuple[str, ...] = ()
    candidate_count: int
    files: dict[str, str]


def checksum(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
