from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import Result
from psycopg import Connection
from psycopg.rows import DictRow
from typer.testing import CliRunner

from marquee import database
from marquee.cli.models import models
from marquee.settings import Settings
from tests.training.versions import NOW, add_version
from tests.waiting import wait_until
from training import registry, tracking, verdicts
from training.manifest import CARD


@pytest.fixture(autouse=True)
def of_the_test(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("marquee.settings", "marquee.database"):
        monkeypatch.setattr(f"{module}.load_settings", lambda: settings)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(models, arguments, env={"COLUMNS": "200"})


def test_the_card_is_the_champions_unless_a_version_is_named(
    warehouse: Connection[DictRow], settings: Settings, tmp_path: Path
) -> None:
    for name in ("v1", "v2"):
        add_version(warehouse, settings, name)
        (registry.artefact_dir(name, settings) / CARD).write_text(f"card of {name}")
    assert isinstance(_run("card").exception, registry.RegistryError)
    registry.promote(warehouse, "v2", NOW, "by hand", settings)
    warehouse.commit()
    assert str(registry.artefact_dir("v2", settings) / CARD) in _run("card").output
    assert "/reports/models/v2" in _run("card").output
    assert _run("card", "v1", "--out", str(tmp_path / "card.html")).exit_code == 0
    assert (tmp_path / "card.html").read_text() == "card of v1"


def test_a_card_that_is_not_there_is_named_with_what_shows_those_that_are(settings: Settings) -> None:
    error = _run("card", "nowhere").exception
    assert isinstance(error, registry.RegistryError)
    assert "'nowhere'" in str(error)
    assert "`marquee models list`" in str(error)


@pytest.fixture
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is promoted here is shown in MLflow by tests of their own, which take their time."""
    monkeypatch.setattr(tracking, "try_sync", lambda _: None)


def _judge(warehouse: Connection[DictRow], name: str, verdict: str) -> None:
    warehouse.execute(
        "insert into ops.model_verdicts (run_key, model_version, verdict, reasons, decided_at) "
        "values (%s, %s, %s, '{\"ndcg by gender: clearly below 0.50\"}', %s)",
        (f"weekly-{name}", name, verdict, NOW),
    )
    warehouse.commit()


@pytest.mark.usefixtures("without_mlflow")
def test_a_rejected_version_serves_only_for_who_insists(warehouse: Connection[DictRow], settings: Settings) -> None:
    _judge(warehouse, add_version(warehouse, settings, "v1"), "reject")
    refused = _run("promote", "v1")
    assert isinstance(refused.exception, verdicts.VerdictError)
    said = str(refused.exception)
    assert said.startswith("'v1' was rejected by the run 'weekly-v1': ndcg by gender: clearly below 0.50.")
    assert "`marquee models promote v1 --although-rejected`" in said
    assert registry.champion(warehouse) is None
    assert _run("promote", "v1", "--although-rejected").output == "v1 serves now\n"
    assert registry.champion(warehouse) == "v1"
    row = warehouse.execute("select reason from ops.model_promotions").fetchone()
    assert row == {"reason": "promoted by hand, although rejected"}


@pytest.mark.usefixtures("without_mlflow")
@pytest.mark.parametrize("verdict", ["promote", "hold", None])
def test_a_version_that_was_not_rejected_serves_when_it_is_named(
    warehouse: Connection[DictRow], settings: Settings, verdict: str | None
) -> None:
    add_version(warehouse, settings, "v1")
    if verdict is not None:
        _judge(warehouse, "v1", verdict)
    assert _run("promote", "v1").output == "v1 serves now\n"
    assert registry.champion(warehouse) == "v1"


@pytest.mark.usefixtures("without_mlflow")
@pytest.mark.parametrize(
    ("arguments", "serving"),
    # the one who decides makes v3 serve: then v2 is what served before it, and v3 is what serves already
    [(("rollback",), "v2 serves again\n"), (("promote", "v3"), "v3 served already\n")],
)
def test_who_decides_by_hand_waits_for_who_decides_already(
    warehouse: Connection[DictRow], settings: Settings, arguments: tuple[str, ...], serving: str
) -> None:
    for name in ("v1", "v2", "v3"):
        add_version(warehouse, settings, name)
    for name in ("v1", "v2"):
        registry.promote(warehouse, name, NOW, "by hand", settings)
    warehouse.commit()
    with database.connect(settings) as other, ThreadPoolExecutor(1) as thread:
        registry.promote(other, "v3", NOW, "by the loop", settings)
        said = thread.submit(_run, *arguments)
        wait_until(_waits(warehouse), 20, "waiting for the lock")
        other.commit()
        assert said.result().output == serving


def _waits(connection: Connection[DictRow]) -> Callable[[], bool]:
    def is_waiting() -> bool:
        row = connection.execute(
            "select exists (select from pg_locks where locktype = 'advisory' and not granted and database = "
            "(select oid from pg_database where datname = current_database())) as found"
        ).fetchone()
        return row is not None and bool(row["found"])

    return is_waiting
