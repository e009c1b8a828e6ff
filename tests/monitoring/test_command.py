from datetime import timedelta

import pytest
import typer
from typer.testing import CliRunner

from marquee.cli import checks
from monitoring.checks import KINDS
from tests.monitoring.world import NOW, World


@pytest.fixture
def run_command(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("marquee.cli.checks.load_settings", lambda: world.settings)
    monkeypatch.setattr("marquee.clock.utc_now", lambda: NOW)
    # the whole command line would set up the log for the rest of this process
    app = typer.Typer()
    checks.register(app)
    return lambda *kinds: CliRunner().invoke(app, kinds, env={"COLUMNS": "200"})


def test_check_runs_every_kind_and_tells_what_failed(world: World, run_command) -> None:
    world.load_source("events", NOW, NOW - timedelta(days=8))
    result = run_command()
    assert result.exit_code == 1
    for line in ("pass drift: ", "pass quality: ", "pass fairness: ", "fail freshness: "):
        assert line in result.output
    assert "1 failed" in result.output
    checked = world.connection.execute("select distinct check_kind from ops.quality_verdicts").fetchall()
    assert {row["check_kind"] for row in checked} == set(KINDS)


def test_check_of_one_kind_leaves_the_others_alone(world: World, run_command) -> None:
    result = run_command("freshness")
    assert (result.exit_code, "0 failed" in result.output) == (0, True)
    checked = world.connection.execute("select distinct check_kind from ops.quality_verdicts").fetchall()
    assert [row["check_kind"] for row in checked] == ["freshness"]
