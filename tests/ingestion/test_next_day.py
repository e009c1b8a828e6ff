"""The demo's second day, from extracts to marts: who vanished is gone, what was corrected and refunded counts."""

from collections.abc import Iterator

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from marquee import database
from tests.ingestion.conftest import FIRST_DAY, TwoDays


@pytest.fixture
def built(two_days: TwoDays) -> Iterator[Connection[DictRow]]:
    with database.connect(two_days.settings) as connection:
        yield connection


def _column(connection: Connection[DictRow], query: str) -> set[object]:
    return {next(iter(row.values())) for row in connection.execute(query.encode())}


def test_a_second_day_counts_what_it_brings(
    two_days: TwoDays,
) -> None:
    day, done = two_days.day, two_days.loads
    crm, cms = done["crm"], done["cms"]
    assert (crm.new_count, crm.deleted_count) == (0, len(day.vanished))
    assert crm.corrected_count == len(day.corrected) + len(day.outdated)
    assert (cms.new_count, cms.corrected_count, cms.deleted_count) == (0, 1, 1)
    assert done["billing"].deleted_count == len(day.deleted)
    assert done["billing"].new_count == 0
    assert done["invoices"].corrected_count == len(day.refunded) > 0
    assert done["events"].new_count > 5
    assert done["surveys"].read_count == 0


def test_a_vanished_contact_links_nothing_and_corrections_count_unless_they_are_older(
    two_days: TwoDays, built: Connection[DictRow]
) -> None:
    day = two_days.day
    contacts = {
        row["crm_id"]: row["first_name"]
        for row in built.execute("select crm_id, first_name from staging.stg_crm__contacts")
    }
    assert not set(day.vanished) & set(contacts)
    assert all(contacts[crm_id].endswith(" Corrected") for crm_id in day.corrected)
    assert not any("Outdated" in (name or "") for name in contacts.values())
    resolved = _column(
        built, "select identifier_value from intermediate.int_identifiers_resolved where identifier_kind = 'crm_id'"
    )
    assert resolved == set(contacts)
    assert not set(day.withdrawn) & _column(built, "select content_id from staging.stg_cms__contents")
    assert not set(day.deleted) & _column(built, "select billing_id from staging.stg_billing__subscriptions")


def test_a_refunded_invoice_is_no_revenue(two_days: TwoDays, built: Connection[DictRow]) -> None:
    invoices = built.execute(
        "select invoice_id, invoice_status, amount_cents, net_amount_cents, refunded_at, subscriber_id "
        "from marts.fct_invoices"
    ).fetchall()
    refunded = [row for row in invoices if row["invoice_id"] in two_days.day.refunded]
    assert {(row["invoice_status"], row["net_amount_cents"]) for row in refunded} == {("refunded", 0)}
    assert all(row["refunded_at"] > FIRST_DAY for row in refunded)
    assert all(row["subscriber_id"] for row in invoices)
    assert sum(row["net_amount_cents"] for row in invoices) < sum(row["amount_cents"] for row in invoices)
