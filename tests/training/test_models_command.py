from pathlib import Path

import pytest
from click.testing import Result
from psycopg import Connection
from psycopg.rows import DictRow
from typer.testing import CliRunner

from marquee.cli.models import models
from marquee.settings import Settings
from tests.training.versions import NOW, add_version
from training import registry
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
