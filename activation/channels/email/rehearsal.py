"""Faults on demand, so that tests and people can see what senders make of a provider's bad day.

In: `POST /rehearsal/faults` on the local endpoint, such as `{"kind": "status", "status": 429, "count": 3}`. Out: the
next requests go wrong in that way, in the order in which faults were asked for. SendGrid has nothing like it.
"""

import asyncio
import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

_RATE_LIMIT = 600

Operation = Literal["send", "activity"]


class Fault(BaseModel):
    """How the next `count` requests of one operation go wrong."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["status", "delay", "drop"] = Field(
        description="`status`: answer with a status code. `delay`: answer late. `drop`: cut the connection, no answer."
    )
    on: Operation = Field("send", description="`send`: Mail Send requests. `activity`: Email Activity requests.")
    count: int = Field(1, ge=1, le=1_000_000, description="How many requests.")
    status: int = Field(503, ge=400, le=599, description="Status code of `status`; nothing is stored with it.")
    retry_after_seconds: float = Field(
        1.0, ge=0, le=3600, description="With status 429: how far X-RateLimit-Reset is away."
    )
    delay_seconds: float = Field(1.0, ge=0, le=600, description="How late `delay` is.")
    is_stored: bool = Field(
        True, description="With `delay` and `drop`: whether a message is stored first, or the fault comes before that."
    )


class Rehearsal:
    """The faults that are still to come. Used from the event loop only, hence without a lock."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    @property
    def pending(self) -> list[Fault]:
        return list(self._faults)

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def take(self, operation: Operation) -> Fault | None:
        """The fault of the next request, if there is one."""
        for index, fault in enumerate(self._faults):
            if fault.on == operation:
                left = fault.count - 1
                self._faults[index : index + 1] = [fault.model_copy(update={"count": left})] if left else []
                return fault
        return None


def status_answer(fault: Fault, now: datetime) -> Response:
    """SendGrid's answer with the fault's status code."""
    if fault.status == 429:
        reset = math.ceil(now.timestamp() + fault.retry_after_seconds)
        return JSONResponse(
            {"errors": [{"field": None, "message": "too many requests"}]},
            status_code=429,
            headers={
                "X-RateLimit-Limit": str(_RATE_LIMIT),
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": str(reset),
            },
        )
    body = {"errors": [{"field": None, "message": f"rehearsed status {fault.status}", "help": None}]}
    return JSONResponse(body, status_code=fault.status)


async def apply(fault: Fault, request: Request) -> None:
    """Wait, or cut the connection of `request`; what is answered afterwards reaches nobody then."""
    if fault.kind == "delay":
        await asyncio.sleep(fault.delay_seconds)
    elif fault.kind == "drop":
        cut: Callable[[], None] = request.scope["marquee.cut_connection"]
        cut()
        # the server learns of the cut in its next round, and then throws the answer away
        await asyncio.sleep(0)


router = APIRouter(prefix="/rehearsal", tags=["rehearsal"])


def _rehearsal(request: Request) -> Rehearsal:
    rehearsal: Rehearsal = request.app.state.runtime.rehearsal
    return rehearsal


RehearsalDep = Annotated[Rehearsal, Depends(_rehearsal)]


@router.post("/faults", status_code=201)
async def add_fault(fault: Fault, rehearsal: RehearsalDep) -> list[Fault]:
    """Make the next requests fail; answers with every fault that is still to come."""
    rehearsal.add(fault)
    return rehearsal.pending


@router.get("/faults")
async def list_faults(rehearsal: RehearsalDep) -> list[Fault]:
    """The faults that are still to come."""
    return rehearsal.pending


@router.delete("/faults", status_code=204)
async def clear_faults(rehearsal: RehearsalDep) -> None:
    """Let everything go well again."""
    rehearsal.clear()
