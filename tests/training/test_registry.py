"""Promoting by hand and going back."""

import shutil

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from marquee import database
from marquee.settings import Settings
from tests.training.versions import NOW, add_version
from training import registry


def test_going_back_makes_the_predecessor_serve(warehouse: Connection[DictRow], settings: Settings) -> None:
    for name in ("v1", "v2"):
        registry.promote(warehouse, add_version(warehouse, settings, name), NOW, "by hand", settings)
    assert registry.roll_back(warehouse, NOW, settings) == "v1"
    assert registry.champion(warehouse) == "v1"
    assert [version.model_version for version in registry.versions(warehouse) if version.is_champion] == ["v1"]


@pytest.mark.parametrize(
    ("steps", "serving"),
    [
        ("v1 v2 v3 back", ["v1", "v2", "v3", "v2"]),
        ("v1 v2 v3 back back", ["v1", "v2", "v3", "v2", "v1"]),
        # rolled back from, and promoted anew: it is what served before v4
        ("v1 v2 v3 back v3 v4 back back back", ["v1", "v2", "v3", "v2", "v3", "v4", "v3", "v2", "v1"]),
        ("v1 v2 back v3 back", ["v1", "v2", "v1", "v3", "v1"]),
        # by hand to v1: v2 was replaced, not rolled back from
        ("v1 v2 v1 back", ["v1", "v2", "v1", "v2"]),
    ],
)
def test_going_back_once_more_goes_further_back(
    warehouse: Connection[DictRow], settings: Settings, steps: str, serving: list[str]
) -> None:
    for name in sorted(set(serving)):
        add_version(warehouse, settings, name)
    found = []
    for step in steps.split():
        if step == "back":
            assert registry.roll_back(warehouse, NOW, settings) == registry.champion(warehouse)
        else:
            registry.promote(warehouse, step, NOW, "by hand", settings)
        found.append(registry.champion(warehouse))
    assert found == serving


def test_where_every_other_version_was_rolled_back_from_the_message_says_what_to_do(
    warehouse: Connection[DictRow], settings: Settings
) -> None:
    remedy = "none to go back to; `marquee models list` shows the versions, `marquee models promote VERSION`"
    with pytest.raises(registry.RegistryError, match=remedy):
        registry.roll_back(warehouse, NOW, settings)
    for name in ("v1", "v2"):
        registry.promote(warehouse, add_version(warehouse, settings, name), NOW, "by hand", settings)
    registry.roll_back(warehouse, NOW, settings)
    with pytest.raises(registry.RegistryError, match=remedy):
        registry.roll_back(warehouse, NOW, settings)
    assert registry.champion(warehouse) == "v1"


def test_a_roll_back_of_before_its_column_was_there_counts(warehouse: Connection[DictRow], settings: Settings) -> None:
    for name in ("v1", "v2", "v3"):
        registry.promote(warehouse, add_version(warehouse, settings, name), NOW, "by hand", settings)
    registry.roll_back(warehouse, NOW, settings)
    warehouse.execute("alter table ops.model_promotions drop column rolled_back_from")
    warehouse.commit()
    database.apply_schemas(database.warehouse_url(settings))
    assert registry.roll_back(warehouse, NOW, settings) == "v1"


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
