"""What the policy makes of an answer about consent: which purposes an event is stored for, and what is taken from it.

In: the purposes that an event is collected for, and what its call said. Out: `Permission`, worked out once for each
combination.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ingestion.door.consent import Said, purposes_of
from ingestion.door.policy import PURPOSES, DoorPolicy
from ingestion.raw_tables import EVENTS
from ingestion.tracking_plan.definitions import Purpose


@dataclass(frozen=True, slots=True)
class Removal:
    """Something to take away for want of permission for `purpose`; `column` is its place in the row, if it has one."""

    name: str
    column: int
    purpose: str
    reason: str


@dataclass(frozen=True, slots=True)
class Permission:
    """What may be done with an event.

    Attributes:
        purposes: for raw.events.consent_purposes; None where the call said nothing.
        withheld: purposes without which it is stored, with the reason.
        columns, properties, context: what is taken away, by where it stands.
        dropped_for: the purpose and reason for which it is not stored at all.
    """

    purposes: list[str] | None
    withheld: tuple[tuple[str, str], ...]
    columns: tuple[Removal, ...]
    properties: tuple[Removal, ...]
    context: tuple[Removal, ...]
    dropped_for: tuple[str, str] | None


class Permissions:
    """Works permissions out by a policy, and keeps them."""

    def __init__(self, policy: DoorPolicy) -> None:
        self._policy = policy
        self._known: dict[tuple[tuple[Purpose, ...], int, int, bool], Permission] = {}

    def of(self, collected_for: tuple[Purpose, ...], said: Said) -> Permission:
        """The permission of an event that is collected for these purposes."""
        key = (collected_for, said.granted, said.refused, said.has_gpc)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._work_out(collected_for, said)
        return known

    def granted_by(self, said: Said) -> tuple[Purpose, ...]:
        """Purposes for which everything may be kept."""
        return tuple(purpose for purpose in PURPOSES if self._action(purpose, said)[0] == "store")

    def _work_out(self, collected_for: tuple[Purpose, ...], said: Said) -> Permission:
        actions = {purpose: self._action(purpose, said) for purpose in PURPOSES}
        wanted = {purpose: actions[purpose] for purpose in collected_for}
        drops = [(purpose, reason) for purpose, (action, reason) in wanted.items() if action == "drop"]
        is_permitted = any(action == "store" for action, _ in wanted.values())
        removals = [removal for purpose in PURPOSES for removal in self._removals(purpose, *actions[purpose])]
        return Permission(
            list(purposes_of(said.granted)) if said.is_anything else None,
            tuple((purpose, reason) for purpose, (action, reason) in wanted.items() if action != "store"),
            tuple(removal for place, removal in removals if place == "column"),
            tuple(removal for place, removal in removals if place == "properties"),
            tuple(removal for place, removal in removals if place == "context"),
            drops[0] if drops and not is_permitted else None,
        )

    def _action(self, purpose: Purpose, said: Said) -> tuple[str, str]:
        policy = self._policy.purposes[purpose]
        if purpose in purposes_of(said.granted):
            return "store", "granted"
        if purpose in purposes_of(said.refused):
            is_by_gpc = said.has_gpc and purpose in self._policy.opt_out_of_sale_refuses
            return policy.refused, "gpc" if is_by_gpc else "refused"
        return policy.unsaid, "unsaid"

    def _removals(self, purpose: Purpose, action: str, reason: str) -> Iterator[tuple[str, Removal]]:
        if action == "store":
            return
        for name in self._policy.purposes[purpose].removes:
            place, _, inner = name.rpartition(".")
            if place:
                yield place, Removal(inner, -1, purpose, reason)
            else:
                yield "column", Removal(name, EVENTS.columns.index(name), purpose, reason)
