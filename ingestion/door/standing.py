"""The door by the plan and the policy as they are shipped or edited here, opened once for a process."""

from functools import cache

from ingestion.door.admission import Door
from ingestion.door.policy import load_policy
from ingestion.tracking_plan.plan import load_plan


@cache
def standing_door() -> Door:
    """The door that live events, extracts and replays go through.

    Raises:
        TrackingPlanError, DoorPolicyError, UnreadableYamlError: a file is wrong.
    """
    return Door(load_plan(), load_policy())
