"""What every model owes its readers: a contract, a description, a word on personal data, purpose and owner."""

import json
import re
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from pydantic import SecretStr

from marquee import dbt_runner
from marquee.settings import PROJECT_ROOT, Settings

PII = {"none", "direct", "indirect", "sensitive"}
KEPT = re.compile(r"\d+ (days|months|years)|unlimited|rebuilt daily|as .+")
PURPOSES = {"personalization", "email_marketing", "advertising", "analytics", "none"}
READERS = ("activation", "ingestion", "feature_repo", "training", "monitoring", "marquee")

Node = dict[str, dict[str, dict[str, dict[str, str]]]]


@pytest.fixture(scope="module")
def parsed(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(var_dir=tmp_path_factory.mktemp("parsed"), database_url=SecretStr(make_database()))
    dbt_runner.run(["--warn-error", "parse"], settings)
    return settings


@pytest.fixture(scope="module")
def manifest(parsed: Settings) -> dict[str, dict[str, Node]]:
    read = json.loads((parsed.dbt_target_dir / "manifest.json").read_text())
    return cast(dict[str, dict[str, Node]], read)


def _nodes(manifest: dict[str, dict[str, Node]], *kinds: str) -> Iterator[tuple[str, Node]]:
    for node in manifest["nodes"].values():
        if str(node["resource_type"]) in kinds:
            yield str(node["name"]), node


def test_every_column_says_what_it_is_how_personal_it_is_and_how_long_it_is_kept(
    manifest: dict[str, dict[str, Node]],
) -> None:
    lacking = []
    for name, node in _nodes(manifest, "model", "seed"):
        for column, said in node["columns"].items():
            meta = cast(dict[str, str], said["config"]["meta"])
            if not said["description"] or meta.get("pii") not in PII or not KEPT.fullmatch(str(meta.get("retention"))):
                lacking.append(f"{name}.{column}: {meta}")
    assert lacking == []


def test_every_model_says_grain_owner_purpose_and_retention(manifest: dict[str, dict[str, Node]]) -> None:
    lacking = []
    for name, node in _nodes(manifest, "model", "seed"):
        meta = cast(dict[str, str], node["config"]["meta"])
        is_said = meta.get("grain") and meta.get("owner") and KEPT.fullmatch(str(meta.get("retention")))
        has_reason = meta.get("consent_purpose") != "none" or meta.get("consent_reason")
        if not (node["description"] and is_said and has_reason and meta.get("consent_purpose") in PURPOSES):
            lacking.append(f"{name}: {meta}")
    assert lacking == []


def test_marts_and_features_have_contracts_and_a_group(manifest: dict[str, dict[str, Node]]) -> None:
    public = [(name, node) for name, node in _nodes(manifest, "model") if str(node["schema"]) in ("marts", "features")]
    assert len(public) > 25
    assert [name for name, node in public if not cast(bool, node["contract"]["enforced"])] == []
    assert [name for name, node in public if not node["group"]] == []


def test_every_raw_source_has_a_limit_of_freshness(manifest: dict[str, dict[str, Node]]) -> None:
    raw = [source for source in manifest["sources"].values() if str(source["source_name"]) == "raw"]
    assert len(raw) > 7
    assert [str(source["name"]) for source in raw if not (source["freshness"] or {}).get("warn_after")] == []


def test_unless_told_otherwise_dbt_looks_at_every_source_and_at_no_unit_test(
    parsed: Settings, manifest: dict[str, dict[str, Node]]
) -> None:
    said = dbt_runner.run(["--quiet", "ls", "--output", "json", "--output-keys", "name resource_type"], parsed)
    listed = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    sources = {str(one["name"]) for one in manifest["sources"].values()}
    assert {one["name"] for one in listed if one["resource_type"] == "source"} == sources
    assert [one for one in listed if one["resource_type"] == "unit_test"] == []


def test_what_the_house_reads_is_named_by_an_exposure(manifest: dict[str, dict[str, Node]]) -> None:
    exposed = {
        str(parent).rpartition(".")[2]
        for exposure in manifest["exposures"].values()
        for parent in exposure["depends_on"]["nodes"]
    }
    read = {
        name
        for room in READERS
        for path in (PROJECT_ROOT / room).rglob("*.*")
        if path.suffix in (".py", ".sql")
        for name in re.findall(r"\b(?:marts|features)\.((?:dim|fct|ftr)_\w+)", path.read_text())
    }
    assert len(read) > 5
    assert read - exposed == set()


def test_the_project_needs_no_package_from_elsewhere() -> None:
    assert not [name for name in ("packages.yml", "dependencies.yml") if (dbt_runner.PROJECT_DIR / name).exists()]
