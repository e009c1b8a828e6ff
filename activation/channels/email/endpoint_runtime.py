"""What lives as long as the local endpoint: database access, rehearsed faults, pages; and how routes reach them."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from activation.channels.email.rehearsal import Rehearsal
from activation.pages.rendering import Pages
from activation.serving.warehouse import Warehouse
from marquee.database import DatabaseError
from marquee.settings import Settings

# a send may wait for its turn rather than fail: its sender has nothing better to do
WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class EndpointRuntime:
    settings: Settings
    warehouse: Warehouse
    rehearsal: Rehearsal
    pages: Pages

    def close(self) -> None:
        self.warehouse.close()


def open_endpoint(settings: Settings) -> EndpointRuntime:
    """Everything that a running endpoint needs; works without a database, too."""
    warehouse = Warehouse(settings)
    return EndpointRuntime(
        settings=settings,
        warehouse=warehouse,
        rehearsal=Rehearsal(),
        pages=Pages(settings, lambda: _has_simulated_subscribers(warehouse), site=settings.serving_url),
    )


def _has_simulated_subscribers(warehouse: Warehouse) -> bool:
    try:
        with warehouse.connection() as connection:
            row = connection.execute(
                "select exists (select from marts.dim_subscribers where is_simulated) as found"
            ).fetchone()
    except DatabaseError:
        # without profiles nobody was ever written to
        return False
    return bool(row and row["found"])


def _runtime(request: Request) -> EndpointRuntime:
    runtime: EndpointRuntime = request.app.state.runtime
    return runtime


EndpointDep = Annotated[EndpointRuntime, Depends(_runtime)]
