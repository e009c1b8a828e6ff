"""What Python asks of identity: take in what is new, and who somebody is.

In: a connection; the caller's transaction is the one in which it happens. Out: how many links changed; subscriber ids.
"""

from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow


def catch_up(connection: Connection[DictRow], now: datetime) -> int:
    """Bring identity up to what raw holds; the number of links that came, went or were found to be older.

    The position in raw moves in the same transaction: what is rolled back is taken in again.
    """
    row = connection.execute("select identity.catch_up(%s) as changed", (now,)).fetchone()
    assert row is not None
    return int(row["changed"])


def current_subscriber(connection: Connection[DictRow], subscriber_id: str) -> str | None:
    """The id under which the subscriber of a present or former id is known now; None where nobody has it."""
    row = connection.execute("select identity.current_subscriber(%s) as found", (subscriber_id,)).fetchone()
    assert row is not None
    return None if row["found"] is None else str(row["found"])


def subscriber_of(connection: Connection[DictRow], kind: str, value: str) -> str | None:
    """The subscriber to whom an identifier belongs now."""
    row = connection.execute("select identity.subscriber_of(%s, %s) as found", (kind, value)).fetchone()
    assert row is not None
    return None if row["found"] is None else str(row["found"])


def erase_identifier(connection: Connection[DictRow], identifier: str, now: datetime) -> bool:
    """Forget `kind:value` and what it linked; False where it was not known.

    Its raw rows must be gone already: a build from nothing would read them again.
    """
    row = connection.execute("select identity.erase(%s, %s) as done", (identifier, now)).fetchone()
    assert row is not None
    return bool(row["done"])
