"""Small segment files for tests: what one declares, written and read as the shipped file is."""

from pathlib import Path

import yaml

from ingestion.segments.definitions import Definitions, load_segments


def segment(name: str, conditions: object, **others: object) -> dict[str, object]:
    """An entry of `segments`, live and for analysis unless `others` say something else."""
    return {
        "name": name,
        "title": name,
        "description": name,
        "owner": "marketing",
        "kind": "analysis",
        "status": "live",
        "conditions": conditions,
        **others,
    }


def group(name: str, *, is_exclusive: bool = True) -> dict[str, object]:
    return {"name": name, "title": name, "is_exclusive": is_exclusive}


def declare(path: Path, segments: list[dict[str, object]], groups: list[dict[str, object]] | None = None) -> Path:
    """Write a file of segments."""
    meta = {"segment_groups": groups or [], "segments": segments}
    models = [{"name": "fct_segment_memberships", "config": {"meta": meta}}]
    path.write_text(yaml.safe_dump({"version": 2, "models": models}, sort_keys=False, allow_unicode=True))
    return path


def declared(
    folder: Path, segments: list[dict[str, object]], groups: list[dict[str, object]] | None = None
) -> Definitions:
    """The definitions of a file with these segments."""
    return load_segments.__wrapped__(declare(folder / "segments.yml", segments, groups))
