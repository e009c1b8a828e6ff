"""Promoting by hand and going back."""

import shutil

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from marquee.settings import Settings
from tests.training.versions import NOW, add_version
from training import registry


def test_going_back_makes_the_predecessor_serve(warehouse: Connection[DictRow], settings: Settings) -> None:
    for name in ("v1", "v2"):
        registry.promote(warehouse, add_version(warehouse, settings, name), NOW, "by hand", settings)
    assert registry.roll_back(warehouse, NOW, settings) == "v1"
    assert registry.champion(warehouse) == "v1"
    assert [version.model_version for version in registry.versions(warehouse) if version.is_champion] == ["v1"]


def test_there_is_no_going_back_from_the_first(warehouse: Connection[DictRow], settings: Settings) -> None:
    with pytest.raises(registry.RegistryError, match="none to go back to"):
        registry.roll_back(warehouse, NOW, settings)
    registry.promote(warehouse, add_version(warehouse, settings, "v1"), NOW, "by hand", settings)
    with pytest.raises(registry.RegistryError, match="none to go back to"):
        registry.roll_back(warehouse, NOW, settings)
    assert registry.champion(warehouse) == "v1"


def test_a_version_without_its_artefact_does_not_serve(warehouse: Connection[DictRow], settings: Settings) -> None:
    add_version(warehouse, settings, "v1")
    shutil.rmtree(registry.artefact_dir("v1", settings))
    with pytest.raises(registry.RegistryError, match="artefact of 'v1' is gone"):
        registry.promote(warehouse, "v1", NOW, "by hand", settings)
    with pytest.raises(registry.RegistryError, match="models list"):
        registry.promote(warehouse, "v2", NOW, "by hand", settings)


def test_registering_again_keeps_one_row(warehouse: Connection[DictRow], settings: Settings) -> None:
    add_version(warehouse, settings, "v1")
    registry.register(warehouse, "v1", NOW, NOW, NOW, [])
    (version,) = registry.versions(warehouse)
    assert (version.ndcg_loo, version.verdict) == (None, None)
