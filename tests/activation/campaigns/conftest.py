"""A media house whose campaigns send to a real local endpoint."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from activation.campaigns.runner import CampaignRun, run_campaign
from marquee import database
from marquee.clock import utc_now
from marquee.settings import Settings
from tests.activation.campaigns import world
from tests.activation.email.endpoint import running_endpoint


@dataclass(frozen=True)
class House:
    """`definitions` holds the one campaign that tests run: nobody is held out."""

    settings: Settings
    connection: Connection[DictRow]
    definitions: Path

    def run(self, run_key: str = "run 1", **arguments: Any) -> CampaignRun:
        arguments.setdefault("folder", self.definitions)
        return run_campaign(world.CAMPAIGN, run_key, utc_now(), self.settings, **arguments)

    def rehearse(self, **fault: object) -> None:
        """Make the endpoint's next requests go wrong."""
        httpx.post(f"{self.settings.local_email_url}/rehearsal/faults", json=fault).raise_for_status()

    def end_rehearsal(self) -> None:
        httpx.delete(f"{self.settings.local_email_url}/rehearsal/faults").raise_for_status()

    def add_candidates(self, count: int) -> list[str]:
        names = [f"s{number:03}" for number in range(count)]
        for name in names:
            world.add_candidate(self.connection, name)
        return names

    def addresses(self) -> list[str]:
        """Where messages arrived, one entry a message."""
        return [address for address, messages in world.captured(self.connection).items() for _ in messages]


@pytest.fixture
def sending_house(settings: Settings, tmp_path: Path) -> Iterator[House]:
    with running_endpoint(settings) as running, database.connect(running) as connection:
        world.build(connection)
        connection.autocommit = True
        yield House(running, connection, world.declare(tmp_path / "definitions"))
