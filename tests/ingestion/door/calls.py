"""Small calls, and a door to put them through."""

from datetime import UTC, datetime, timedelta

from ingestion.door.admission import Admission, Admitted, Arrival, Door
from ingestion.door.policy import DoorPolicy, load_policy
from ingestion.raw_tables import EventRow
from ingestion.tracking_plan.plan import load_plan

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ARRIVAL = Arrival("live", NOW)
POLICY = load_policy()
PLAN = load_plan()
DOOR = Door(PLAN, POLICY)


def call(**changes: object) -> dict[str, object]:
    """A play of a film, with `changes` to its fields."""
    return {
        "type": "track",
        "messageId": "m-1",
        "event": "Video Playback Exited",
        "userId": "u-1",
        "timestamp": "2026-11-24T11:00:00Z",
        "properties": {"content_id": "c-1"},
        **changes,
    }


def row(admission: Admission) -> EventRow:
    """The row of a call that was admitted."""
    assert isinstance(admission, Admitted), admission
    return EventRow._make(admission.values)


def door_with(**changes: object) -> Door:
    """A door whose policy has `changes`."""
    return Door(PLAN, DoorPolicy.model_validate({**POLICY.model_dump(), **changes}))


def sent_with_clock_off_by(seconds: float) -> Arrival:
    """A request that took no time, from a clock that is ahead."""
    return Arrival("live", NOW, NOW + timedelta(seconds=seconds))
