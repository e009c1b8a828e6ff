"""The door itself: one Segment call becomes a row of raw.events, or is set aside, or dropped by policy.

In: a call as its JSON says it, and how it arrived. Out: `Admitted`, `SetAside` or `Dropped`; nothing is raised for
anything that a client can write. https://segment.com/docs/connections/spec/common/
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import jsonschema_rs

from ingestion.door.consent import ConsentReader, UnreadableConsentError
from ingestion.door.fields import (
    Violation,
    content_of,
    fraction_of,
    json_of,
    key_of,
    moment_of,
    object_of,
    payload_text,
    text_of,
)
from ingestion.door.permission import Permissions, Removal
from ingestion.door.policy import DoorPolicy
from ingestion.door.reduction import SERVER, Reducer
from ingestion.raw_tables import EventRow
from ingestion.records import printable, shown
from ingestion.tracking_plan.plan import PlannedEvent, TrackingPlan

_EMPTY: Mapping[str, object] = {}
# have columns of their own
_COLUMN_PROPERTIES = ("content_id", "watched_fraction", "email", "phone", "is_simulated")
_NO_ADVERTISING_ID = "00000000-0000-0000-0000-000000000000"
_LONGEST_ID = 200
# what the SDKs of Segment and RudderStack write for a device's type
_DEVICE_TYPES = {
    "ios": "mobile", "android": "mobile", "phone": "mobile", "tablet": "mobile",
    "tv": "connected_tv", "smart_tv": "connected_tv", "smarttv": "connected_tv", "roku": "connected_tv",
    "tvos": "connected_tv", "desktop": "web", "browser": "web",
}  # fmt: skip
_OUR_DEVICE_TYPES = frozenset(_DEVICE_TYPES.values()) - _DEVICE_TYPES.keys()
_LONGEST_REASON = 500
_KEPT_ASIDE = (
    "type", "messageId", "event", "name", "category", "userId", "anonymousId", "previousId", "groupId", "timestamp",
    "properties", "traits",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a call came: `sent_at` by the client's clock, `received_at` by ours, the rest from the request."""

    source: str
    received_at: datetime
    sent_at: datetime | None = None
    ip: str | None = None
    user_agent: str | None = None
    has_gpc: bool = False


class Admitted(NamedTuple):
    """A row for raw.events.

    Attributes:
        withheld: purposes without which it is stored, each with the reason (`refused`, `gpc` or `unsaid`).
    """

    message_id: str
    values: EventRow
    withheld: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SetAside:
    """A call that the plan does not allow, or that no row can hold: the field, its value, and the reason in words.

    `payload` is JSON of the call, its context reduced, from which it can be admitted again; `file` and `line` say where
    a call stood that came in a file.
    """

    message_id: str | None
    event: str | None
    field: str
    value: str | None
    reason: str
    payload: str
    received_at: datetime
    sent_at: datetime | None = None
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A call that the policy does not store, for want of permission for `purpose`."""

    message_id: str
    purpose: str
    reason: str
    received_at: datetime


Admission = Admitted | SetAside | Dropped


class Door:
    """Admits calls by a tracking plan and a policy. One door serves a process: it keeps what it has worked out."""

    def __init__(self, plan: TrackingPlan, policy: DoorPolicy) -> None:
        self._tracks = plan.tracks
        self._calls = plan.calls
        self._consent = ConsentReader(policy)
        self._permissions = Permissions(policy)
        self._reducer = Reducer(policy)

    def admit(self, call: Mapping[str, object], arrival: Arrival) -> Admission:
        """Decide about one call; about 10 microseconds."""
        try:
            return self._admit(call, arrival)
        except Violation as violation:
            field, value, reason = violation.field, violation.value, violation.reason
        except UnreadableConsentError as error:
            field, value, reason = error.field, shown(error.value), error.reason
        return self._set_aside(call, arrival, field, value, reason)

    def _admit(self, call: Mapping[str, object], arrival: Arrival) -> Admitted | Dropped:
        call_type = call.get("type")
        message_id = key_of(call, "messageId")
        if message_id is None:
            raise Violation("messageId", None, "is missing")
        context = object_of(call, "context")
        planned = self._planned(call, call_type, context)
        user_id, anonymous_id = key_of(call, "userId"), key_of(call, "anonymousId")
        if user_id is None and anonymous_id is None:
            raise Violation("userId", None, "has neither userId nor anonymousId")
        said = _allowed(call, planned)
        occurred_at = _occurred_at(call, arrival)

        consent = self._consent.read(context, arrival.has_gpc)
        permission = self._permissions.of(planned.definition.purposes, consent)
        if permission.dropped_for is not None:
            return Dropped(message_id, *permission.dropped_for, arrival.received_at)

        kept, agent = self._reducer.reduce(context, arrival.ip, arrival.user_agent)
        device = object_of(context, "device", "context.")
        person = said if call_type == "identify" else _person(call_type, said, context)
        rest = dict(said)
        for name in _COLUMN_PROPERTIES:
            rest.pop(name, None)
        taken = _taken(rest, permission.properties)
        taken += _taken(kept, permission.context)
        row = EventRow(
            message_id,
            planned.definition.call,
            occurred_at,
            self._event_name(call, planned),
            user_id,
            anonymous_id,
            key_of(call, "previousId"),
            key_of(call, "groupId"),
            key_of(device, "id", "context.device."),
            _advertising_id(device),
            _device_type(device, agent),
            text_of(person, "email"),
            text_of(person, "phone"),
            content_of(said, planned.definition.content_from),
            fraction_of(said, planned.definition.has_progress),
            json_of(rest, "properties"),
            json_of(kept, "context") if kept else "{}",
            arrival.sent_at,
            arrival.received_at,
            permission.purposes,
            consent.signals,
            planned.version,
            _is_simulated(said),
        )
        emptied = {one.column for one in permission.columns if row[one.column] is not None}
        if not taken and not emptied:
            return Admitted(message_id, row, permission.withheld)
        # what an event is not collected for can serve it all the same, as an advertising id does
        taken += [one for one in permission.columns if one.column in emptied]
        withheld = {one.purpose: one.reason for one in taken} | dict(permission.withheld)
        values = [None if place in emptied else value for place, value in enumerate(row)]
        return Admitted(message_id, EventRow._make(values), tuple(withheld.items()))

    def _planned(self, call: Mapping[str, object], call_type: object, context: Mapping[str, object]) -> PlannedEvent:
        if call_type == "track":
            event = call.get("event")
            versions = self._tracks.get(event) if isinstance(event, str) else None
            if versions is None:
                name = text_of(call, "event")
                if name is None:
                    raise Violation("event", None, "is a track call without an event name")
                versions = self._tracks.get(name)
            if versions is None:
                raise Violation("event", shown(name), "is not in the tracking plan")
        else:
            versions = self._calls.get(call_type) if isinstance(call_type, str) else None
            if versions is None:
                raise Violation("type", shown(call_type), "is no call of the tracking plan")
        wanted = context.get("schemaVersion")
        if wanted is None:
            return versions.newest
        planned = versions.by_number.get(str(wanted)) if isinstance(wanted, str | int) else None
        if planned is None:
            known = ", ".join(versions.by_number)
            raise Violation("context.schemaVersion", shown(wanted), f"is no version of this event; there is {known}")
        return planned

    def _event_name(self, call: Mapping[str, object], planned: PlannedEvent) -> str | None:
        # a deprecated name is stored under the event's own
        return planned.definition.name if planned.definition.call == "track" else text_of(call, "name")

    def _set_aside(
        self, call: Mapping[str, object], arrival: Arrival, field: str, value: str | None, reason: str
    ) -> SetAside:
        kept: dict[str, object] = {name: call[name] for name in _KEPT_ASIDE if name in call}
        kept["context"] = self._context_aside(call.get("context"), arrival)
        message_id, event = call.get("messageId"), call.get("event") or call.get("name") or call.get("type")
        return SetAside(
            None if message_id is None else shown(message_id)[:_LONGEST_ID],
            None if event is None else shown(event)[:_LONGEST_ID],
            # both may repeat what the client wrote
            printable(field)[:_LONGEST_REASON],
            value,
            printable(reason)[:_LONGEST_REASON],
            payload_text(kept),
            arrival.received_at,
            arrival.sent_at,
        )

    def _context_aside(self, context: object, arrival: Arrival) -> dict[str, object]:
        """What admitting again needs of the context, and nothing that the policy would not keep."""
        whole = context if isinstance(context, dict) else {}
        kept, _ = self._reducer.reduce(whole, arrival.ip, arrival.user_agent)
        kept |= {name: whole[name] for name in ("consent", "schemaVersion", "traits") if name in whole}
        if arrival.has_gpc or whole.get("gpc"):
            kept["gpc"] = True
        device = whole.get("device")
        if isinstance(device, dict):
            ids = ("id", "type", "adTrackingEnabled")
            try:
                is_permitted = "advertising" in self._permissions.granted_by(self._consent.read(whole, arrival.has_gpc))
            except UnreadableConsentError:
                is_permitted = False
            wanted = (*ids, "advertisingId") if is_permitted else ids
            part = kept.get("device")
            kept["device"] = {
                **(part if isinstance(part, dict) else {}),
                **{name: device[name] for name in wanted if name in device},
            }
        return kept


def _taken(said: dict[str, object], removals: tuple[Removal, ...]) -> list[Removal]:
    """Take away what `removals` name, and return those that found something."""
    return [one for one in removals if said.pop(one.name, None) is not None]


def _allowed(call: Mapping[str, object], planned: PlannedEvent) -> Mapping[str, object]:
    """The properties or traits of a call, which the plan allows."""
    needed = planned.needed_id
    if needed is not None and key_of(call, needed) is None:
        raise Violation(needed, None, "is missing")
    said = object_of(call, planned.said_field)
    # clients write null for what they have not
    stated = {name: value for name, value in said.items() if value is not None} if None in said.values() else said
    try:
        if not planned.validator.is_valid(stated):
            raise _violation_of(planned, stated)
    except ValueError as refused:
        # a name that is no text, or half an emoji: no JSON
        raise Violation(planned.said_field, shown(said), f"cannot be checked ({refused})") from None
    return said


def _violation_of(planned: PlannedEvent, said: Mapping[str, object]) -> Violation:
    error = next(planned.validator.iter_errors(said))
    path = ".".join([planned.said_field, *(str(part) for part in error.instance_path)])
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        return Violation(f"{path}.{kind.property}", None, "is missing")
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.AnyOf) and not error.instance_path:
        return Violation(path, None, f"has none of {', '.join(planned.definition.needs_one_of)}")
    return Violation(path, shown(error.instance), error.message)


def _occurred_at(call: Mapping[str, object], arrival: Arrival) -> datetime:
    moment = moment_of(call, "timestamp")
    if moment is None:
        return arrival.received_at
    if arrival.sent_at is not None:
        # the client's clock is off by as much at `timestamp` as at `sentAt`
        moment += arrival.received_at - arrival.sent_at
    return moment if moment < arrival.received_at else arrival.received_at


def _person(call_type: object, said: Mapping[str, object], context: Mapping[str, object]) -> Mapping[str, object]:
    """Where the person's address and number are; the traits of a group are the group's."""
    if call_type != "group" and ("email" in said or "phone" in said):
        return said
    traits = context.get("traits")
    return traits if isinstance(traits, dict) else _EMPTY


def _device_type(device: Mapping[str, object], agent: Mapping[str, str] | None) -> str | None:
    said = text_of(device, "type", "context.device.")
    if said is not None:
        return said if said in _OUR_DEVICE_TYPES else _DEVICE_TYPES.get(said.lower(), said)
    found = None if agent is None else agent.get("device")
    return None if found == SERVER else found


def _advertising_id(device: Mapping[str, object]) -> str | None:
    if device.get("adTrackingEnabled") is False:
        return None
    advertising_id = key_of(device, "advertisingId", "context.device.")
    return None if advertising_id == _NO_ADVERTISING_ID else advertising_id


def _is_simulated(said: Mapping[str, object]) -> bool:
    value = said.get("is_simulated")
    if value is None or value is False:
        return False
    if value is not True:
        raise Violation("properties.is_simulated", shown(value), "is neither true nor false")
    return True
