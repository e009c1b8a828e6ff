"""The versions of the recommender and their model cards, among the reports.

In: ops.model_versions, ops.model_promotions, and the cards in the artefacts. Out: a list for the index of the reports,
and a card's page.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from psycopg import Connection
from psycopg.rows import DictRow
from starlette.exceptions import HTTPException

from activation.serving.champion import promoted_version
from activation.serving.runtime import RuntimeDep

router = APIRouter(include_in_schema=False)

_CARD = "model_card.html"
_SHOWN_VERSIONS = 20


@dataclass(frozen=True)
class ListedVersion:
    """A version as the index shows it; `state` is what became of it."""

    model_version: str
    trained_at: datetime
    state: str
    has_card: bool


def read_listed_versions(connection: Connection[DictRow], models_dir: Path) -> list[ListedVersion]:
    """The newest versions, newest first."""
    serving = promoted_version(connection)
    rows = connection.execute(
        "select model_version, trained_at, is_gate_passed, gate in ('{}', '[]') as is_unjudged from ops.model_versions "
        "order by trained_at desc, model_version limit %s",
        (_SHOWN_VERSIONS,),
    ).fetchall()
    return [
        ListedVersion(
            row["model_version"],
            row["trained_at"],
            "serves" if row["model_version"] == serving
            else "not judged" if row["is_unjudged"]
            else "passed" if row["is_gate_passed"]
            else "refused",
            (models_dir / row["model_version"] / _CARD).is_file(),
        )
        for row in rows
    ]  # fmt: skip


@router.get("/reports/models/{model_version}")
def show_model_card(model_version: str, runtime: RuntimeDep) -> Response:
    card = runtime.settings.models_dir / model_version / _CARD
    # a name of one part leads nowhere else
    if model_version.startswith(".") or "\x00" in model_version or not card.is_file():
        raise HTTPException(404, "There is no model card of that version; /reports lists those that exist.")
    return FileResponse(card, media_type="text/html", headers={"Cache-Control": "no-cache"})
