"""dbt's command line as a process of its own that wastes no time: `python -m marquee.dbt_command build ...`.

It never collects garbage: a command ends within minutes and keeps the whole project in memory anyway, and to look
through it again and again took a fifth of the time that dbt itself takes of a build. And it stays connected: dbt opens
a connection for every model and every test, and PostgreSQL would read its catalogue anew in each.
"""

import atexit
import gc

if __name__ == "__main__":
    # before dbt is loaded, which makes half of what would be looked through
    gc.disable()
    # the interpreter looks through everything once more when it ends, but for what is frozen
    atexit.register(gc.freeze)

from dbt.adapters.postgres.connections import PostgresConnectionManager
from dbt.adapters.postgres.impl import PostgresAdapter
from dbt.cli.main import cli


class StayingConnections(PostgresConnectionManager):
    """Connections that a thread keeps for its next model, left without a transaction. One that was lost is closed."""

    def release(self) -> None:
        """Called when a model is done with its connection."""
        connection = self.get_if_exists()
        if connection is None or connection.state != "open" or connection.handle.closed:
            super().release()
        else:
            connection.handle.rollback()
            connection.transaction_open = False


if __name__ == "__main__":
    PostgresAdapter.ConnectionManager = StayingConnections
    cli()
