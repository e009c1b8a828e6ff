import sys
from datetime import timedelta

import pytest

from activation.serving.static_sites import read_runs
from monitoring.checks import KINDS, CheckError, run_check
from monitoring.report_files import report_path
from tests.monitoring.world import NOW, RUN, World


def test_a_rerun_replaces_the_rows_of_its_check_and_no_others(world: World) -> None:
    run_check("freshness", RUN, NOW, world.settings)
    run_check("freshness", "another run", NOW, world.settings)
    run_check("drift", RUN, NOW, world.settings)
    before = world.findings("drift"), world.findings("freshness", "another run")
    world.connection.execute("delete from ops.ingest_batches where source in ('crm', 'events')")
    world.connection.commit()
    assert run_check("freshness", RUN, NOW, world.settings) == "fail"
    rows = world.findings("freshness")
    # their records' ages went with their loads
    assert ("crm", "record_age_days") not in rows
    assert rows["crm", "load_age_days"]["verdict"] == "fail"
    assert (world.findings("drift"), world.findings("freshness", "another run")) == before


def test_the_same_run_gives_the_same_rows(world: World) -> None:
    for kind in KINDS:
        run_check(kind, RUN, NOW, world.settings)
        first = world.findings(kind)
        run_check(kind, RUN, NOW, world.settings)
        assert world.findings(kind) == first
        assert {row["checked_at"] for row in first.values()} == {NOW}


def test_the_reports_page_finds_every_report(world: World) -> None:
    for kind in KINDS:
        run_check(kind, RUN, NOW, world.settings)
    (run,) = read_runs(world.connection, world.settings.reports_dir)
    assert {kind: check.reports for kind, check in run.checks.items()} == {
        kind: [report_path(kind, RUN)] for kind in KINDS
    }
    assert [path.name for path in world.settings.reports_dir.rglob("*draft*")] == []


def test_a_page_says_that_people_are_simulated_only_when_they_are(world: World) -> None:
    page = world.settings.reports_dir / report_path("freshness", RUN)
    run_check("freshness", RUN, NOW, world.settings)
    assert "Simulated data" not in page.read_text()
    world.say_that_events_are_simulated()
    run_check("freshness", RUN, NOW, world.settings)
    assert "Simulated data" in page.read_text()


def test_no_run_key_leads_out_of_the_reports_folder(world: World) -> None:
    for run_key in ("../../escape", "..", "a/b", "manual__2026-03-01T06:00:00+00:00", ""):
        run_check("freshness", run_key, NOW, world.settings)
        report = (world.settings.reports_dir / report_path("freshness", run_key)).resolve()
        assert report.is_file()
        assert report.parent.parent == world.settings.reports_dir.resolve()


def test_an_unknown_check_is_refused_by_name(world: World) -> None:
    with pytest.raises(CheckError, match="'smell'; the checks are drift, quality, fairness, freshness, identity"):
        run_check("smell", RUN, NOW, world.settings)


def test_a_champion_promoted_after_the_moment_is_not_the_champion_of_the_moment(world: World) -> None:
    world.promote("20260305T000000-ffffffff", NOW + timedelta(days=4))
    assert run_check("drift", RUN, NOW, world.settings) == "pass"


def test_no_telemetry_is_loaded(world: World) -> None:
    run_check("quality", RUN, NOW, world.settings)
    assert not {"evidently.telemetry", "iterative_telemetry"} & set(sys.modules)
