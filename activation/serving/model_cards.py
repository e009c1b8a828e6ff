"""The model cards, among the reports.

In: the cards in the artefacts. Out: a card's page.
"""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from activation.serving.runtime import RuntimeDep

router = APIRouter(include_in_schema=False)

_CARD = "model_card.html"


@router.get("/reports/models/{model_version}")
def show_model_card(model_version: str, runtime: RuntimeDep) -> Response:
    card = card_of(model_version, runtime.settings.models_dir)
    if card is None:
        raise HTTPException(404, "There is no model card of that version; /reports lists those that exist.")
    return FileResponse(card, media_type="text/html", headers={"Cache-Control": "no-cache"})


def card_of(model_version: str, models_dir: Path) -> Path | None:
    """The card of a version, if it has one; a name that leads elsewhere has none."""
    if model_version.startswith(".") or "/" in model_version or "\x00" in model_version:
        return None
    card = models_dir / model_version / _CARD
    return card if card.is_file() else None
