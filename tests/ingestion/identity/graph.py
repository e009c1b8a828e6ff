"""A small world of raw rows for tests of identity: records to write, and the state of the graph to compare."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow

START = datetime(2026, 3, 1, tzinfo=UTC)

# smaller limits than the house's, so that short histories meet them
RULES = {
    "kinds": {
        "user_id": {"priority": 1, "profile_limit": 1},
        "crm_id": {"priority": 2},
        "email_hash": {"priority": 4, "profile_limit": 2},
        "anonymous_id": {"priority": 6},
        "device_id": {"priority": 7},
    },
    "limits": [
        {"identifier": "device_id", "counts": "user_id", "at_most": 1, "household_at_most": 3},
        {"identifier": "anonymous_id", "counts": "user_id", "at_most": 1, "within_days": 5},
        {"identifier": "email_hash", "counts": "user_id", "at_most": 2},
    ],
    "blocked": [{"kind": "email", "value": "test@example.com"}],
}


@dataclass(frozen=True)
class Call:
    """An event: what it names, when it happened and when it came, in days after the start."""

    message_id: str
    day: int = 0
    arrived: int = 0
    user_id: str | None = None
    anonymous_id: str | None = None
    device_id: str | None = None
    email: str | None = None
    previous_id: str | None = None


@dataclass(frozen=True)
class Contact:
    """A version of a CRM record; `is_deleted`: the export lacks it."""

    crm_id: str
    day: int
    user_id: str | None = None
    email: str | None = None
    is_deleted: bool = False


@dataclass(frozen=True)
class Decided:
    """A person's word about a pair of identifiers."""

    one: str
    other: str
    decision: str | None


def adopt(connection: Connection[DictRow], rules: dict[str, object] | None = None) -> None:
    connection.execute("select identity.adopt_rules(%s::jsonb, %s)", (json.dumps(rules or RULES), START))


def write(connection: Connection[DictRow], *records: Call | Contact | Decided) -> None:
    """Put records where their systems put them."""
    for record in records:
        if isinstance(record, Call):
            _write_call(connection, record)
        elif isinstance(record, Contact):
            _write_contact(connection, record)
        else:
            connection.execute(
                "select identity.decide(%s, %s, %s, 'a test', %s)", (record.one, record.other, record.decision, START)
            )
    connection.commit()


def catch_up(connection: Connection[DictRow], day: int = 0) -> None:
    connection.execute("select identity.catch_up(%s)", (moment(day),))
    connection.commit()


def rebuild(connection: Connection[DictRow]) -> None:
    """Forget all but raw, the rules and what people decided, and build again."""
    connection.execute("truncate identity.identifiers, identity.links, identity.members, identity.crowded")
    connection.execute("truncate identity.held_links, identity.progress")
    catch_up(connection)


def empty(connection: Connection[DictRow]) -> None:
    connection.execute("truncate raw.events, raw.event_keys, raw.crm_contacts, identity.decisions, identity.history")
    rebuild(connection)


def profiles(connection: Connection[DictRow], day: int | None = None) -> dict[str, str]:
    """identifier -> subscriber id, of all that is known or was known by a day."""
    rows = connection.execute(
        "select identifier, subscriber_id from identity.resolved_at(%s)", ("infinity" if day is None else moment(day),)
    )
    return {row["identifier"]: row["subscriber_id"] for row in rows}


@dataclass
class Copy:
    """What a build keeps of who is whose, and brings up to date by what changed: the rows, and where it stands."""

    rows: dict[str, tuple[object, ...]]
    day: int
    next_xid: int
    own_xid: int = 0

    def follow(self, connection: Connection[DictRow], day: int) -> int:
        """Take in what raw holds, and what changed since, as of the end of `day`. How many rows were looked at."""
        began = connection.execute(
            "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xid, "
            "pg_current_xact_id()::text::bigint as own_xid"
        ).fetchone()
        assert began is not None
        connection.execute("select identity.catch_up(%s)", (moment(day),))
        changes = connection.execute(
            "select * from identity.resolved_changes(%s, %s, %s, array[%s]::bigint[])",
            (moment(day), moment(self.day), self.next_xid, self.own_xid),
        ).fetchall()
        for row in changes:
            self.rows.pop(row["identifier"], None)
            if row["subscriber_id"] is not None:
                self.rows[row["identifier"]] = tuple(row.values())
        self.day, self.next_xid, self.own_xid = day, began["xid"], began["own_xid"]
        connection.commit()
        return len(changes)


def resolved(connection: Connection[DictRow], day: int) -> dict[str, tuple[object, ...]]:
    """Every row of who is whose at the end of a day, by identifier."""
    rows = connection.execute("select * from identity.resolved_at(%s)", (moment(day),)).fetchall()
    return {row["identifier"]: tuple(row.values()) for row in rows}


def groups(found: dict[str, str]) -> set[frozenset[str]]:
    """Which identifiers are together, whatever the id."""
    together: dict[str, set[str]] = {}
    for identifier, subscriber_id in found.items():
        together.setdefault(subscriber_id, set()).add(identifier)
    return {frozenset(members) for members in together.values()}


def state(connection: Connection[DictRow]) -> dict[str, object]:
    """All that identity has concluded, by names and not by numbers."""
    named = "(select kind || ':' || value from identity.identifiers inner join identity.kinds using (kind_id) "
    named += "where identifier_id = {})"
    crowded = f"select {named.format('c.identifier_id')} as name, found_count, is_household from identity.crowded as c"
    held = f"select {named.format('low_id')} as one, {named.format('high_id')} as other from identity.held_links"
    return {
        "profiles": profiles(connection),
        "crowded": {(row["name"], row["found_count"], row["is_household"]) for row in connection.execute(crowded)},
        "held": {frozenset((row["one"], row["other"])) for row in connection.execute(held)},
        "households": {
            (row["device_identifier"], row["user_identifier"])
            for row in connection.execute("select * from identity.household_devices_at('infinity')")
        },
    }


def moment(day: int) -> datetime:
    return START + timedelta(days=day)


def _write_call(connection: Connection[DictRow], call: Call) -> None:
    connection.execute(
        "insert into raw.events (source, message_id, event_type, user_id, anonymous_id, device_id, email, previous_id, "
        "occurred_at, received_at, is_simulated) values ('web', %s, 'track', %s, %s, %s, %s, %s, %s, %s, true)",
        (
            call.message_id, call.user_id, call.anonymous_id, call.device_id, call.email, call.previous_id,
            moment(call.day), moment(call.arrived),
        ),
    )  # fmt: skip


def _write_contact(connection: Connection[DictRow], contact: Contact) -> None:
    connection.execute(
        "insert into raw.crm_contacts (source, source_key, row_hash, arrival, crm_id, user_id, email, updated_at, "
        "is_deleted, deleted_at, is_simulated, loaded_at) values ('crm', %(id)s, 'hash', "
        "(select 1 + count(*) from raw.crm_contacts where source_key = %(id)s), "
        "%(id)s, %(user_id)s, %(email)s, %(at)s, %(gone)s, case when %(gone)s then %(at)s::timestamptz end, true, "
        "%(at)s)",
        {
            "id": contact.crm_id, "user_id": contact.user_id, "email": contact.email, "at": moment(contact.day),
            "gone": contact.is_deleted,
        },
    )  # fmt: skip
