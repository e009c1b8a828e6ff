"""The mart that training reads, for tests that need no build of the warehouse."""

from psycopg import Connection
from psycopg.rows import DictRow


def make_interactions(connection: Connection[DictRow]) -> None:
    """The schema, with an empty table of interactions."""
    connection.execute("create schema marts")
    connection.execute(
        "create table marts.fct_interactions (interaction_id text, subscriber_id text, content_id text, "
        "occurred_at timestamptz, watched_fraction float8, device_type text, has_personalization_consent boolean, "
        "is_simulated boolean)"
    )
