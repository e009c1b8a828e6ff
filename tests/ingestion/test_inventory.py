"""The audit of the systems: what is declared, what is found, and nothing of anybody on the page."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.inventory.report import PAGE, InventoryLine, take_inventory
from ingestion.inventory.systems import InventoryError, load_systems
from ingestion.sources import ingest_source
from marquee.settings import Settings
from tests.ingestion.extracts import json_lines, write

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _lines(settings: Settings, now: datetime = NOW) -> dict[tuple[str, str], InventoryLine]:
    return {(line.system.name, line.measured.stream.relation): line for line in take_inventory(now, settings)}


def _hand_over(settings: Settings) -> None:
    write(
        settings,
        "crm",
        "contacts.csv",
        "crm_id,user_id,email,country,updated_at\n"
        "c-1,u-1,ana@example.com,DE,2026-11-01\n"
        "c-2,,Bo+news@example.com,DE,2026-11-01\n"
        "c-3,,cam@example.com,,2026-11-01\n"
        "c-4,,,FR,2026-11-01\n"
        "c-5,u-5,,DE,soon\n",
    )
    write(
        settings,
        "consents",
        "consents.csv",
        "identifier_kind,identifier,purpose,region,status,recorded_at\nuser_id,u-1,analytics,eu,denied,2026-11-01\n",
    )
    bo = {"user_id": "u-1", "email": "bo@example.com", "question": "q", "answer": "a", "answered_at": "2026-11-02"}
    write(settings, "surveys", "answers.csv", ",".join(bo) + "\n" + ",".join(bo.values()) + "\n")
    write(
        settings, "billing", "a.jsonl", json_lines({"id": "cus-1", "plan": "basic", "updated_at": "2026-11-01T00:00Z"})
    )
    for source in ("crm", "consents", "surveys", "billing"):
        ingest_source(source, "run", NOW, settings)


def test_the_inventory_says_how_full_how_known_and_how_consented_each_system_is(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    _hand_over(settings)
    lines = _lines(settings)
    crm = lines["crm", "crm_contacts"].measured
    # ana by her own user id, bo because the survey names his address beside it; cam and the last were never asked
    assert (crm.record_count, crm.missing_consent_share) == (4, 0.5)
    assert crm.missing_identifier_share == 0
    # of u-1, ana, bo and cam: u-1 and bo
    assert crm.known_elsewhere_share == 0.5
    assert list(crm.quarantined_counts.values()) == [1]
    fields = {field.name: field for field in crm.fields}
    assert (fields["country"].filled_share, fields["country"].distinct_share) == (0.75, pytest.approx(2 / 3))
    assert fields["email"].data_type == "text"
    assert all(field.example is None for field in crm.fields if field.pii != "none")
    billing = lines["billing", "billing_subscriptions"].measured
    assert (billing.missing_consent_share, billing.known_elsewhere_share) == (1.0, None)
    assert {field.name: field.example for field in billing.fields}["plan"] == "basic"
    assert lines["cms", "cms_content"].measured.missing_consent_share is None
    kept = warehouse.execute(
        "select handover, record_count, missing_consent_share from ops.source_inventory where system = 'crm'"
    ).fetchone()
    assert kept == {"handover": "snapshot", "record_count": 4, "missing_consent_share": 0.5}
    assert warehouse.execute(
        "select count(*) as n from ops.source_inventory_fields where pii <> 'none' and example is not null"
    ).fetchone() == {"n": 0}


def test_the_observed_cadence_stands_beside_the_declared_one_and_a_late_system_is_overdue(settings: Settings) -> None:
    _hand_over(settings)
    for day in (1, 2, 3):
        row = {"id": f"cus-{day}", "plan": "basic", "updated_at": "2026-11-01T00:00Z"}
        write(settings, "billing", f"day-{day}.jsonl", json_lines({**row, "plan": f"plan {day}"}))
        ingest_source("billing", f"run-{day}", NOW + timedelta(hours=6 * day), settings)
        # a load that brings nothing says nothing about the system
        ingest_source("billing", f"idle-{day}", NOW + timedelta(hours=6 * day + 1), settings)
    lines = _lines(settings, NOW + timedelta(hours=49))
    billing = lines["billing", "billing_subscriptions"]
    assert billing.measured.loads.observed_hours == 6
    assert not billing.is_overdue
    assert lines["crm", "crm_contacts"].is_overdue
    assert lines["cms", "cms_content"].measured.loads.last_loaded_at is None


def test_the_page_shows_every_system_and_nobody(settings: Settings, browser: Browser) -> None:
    _hand_over(settings)
    take_inventory(NOW, settings)
    path = settings.reports_dir / PAGE
    text = path.read_text()
    for said in ("ana@example.com", "bo@example.com", "u-1", "c-1"):
        assert said not in text
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(path.as_uri())
    assert page.get_by_role("heading", level=2).count() == 10
    assert page.get_by_text("one that lost more than 30% is held").count() == 2
    # tables scroll in their own frames, the page does not
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()


def test_a_column_that_nobody_has_judged_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "systems.yml"
    path.write_text(
        "systems:\n- {name: s, title: S, about: S., owner: o, expected_hours: 1, streams: "
        "[{source: surveys, relation: survey_answers, fields: {email: {pii: direct}}}]}\n"
    )
    with pytest.raises(InventoryError, match="under surveys what user_id, question, answer, answered_at"):
        load_systems(path)
