"""What each source's faults become: rows written by hand, known answers."""

import json
from datetime import UTC, datetime

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from ingestion.sources import IngestionError, ingest_source
from marquee.settings import Settings
from tests.ingestion.extracts import json_lines, rows_of, set_aside, write

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_crm_dates_are_read_in_every_spelling_and_impossible_ones_set_aside(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    moments = [
        "2026-03-04T05:06:07Z",
        "2026-03-04 05:06:07",
        "04/03/2026 05:06",
        "4 Mar 2026",
        "2026-03-04T05:06:07+02:00",
    ]
    bad = ["31/02/2026 10:00", "0000-00-00 00:00:00", "soon", ""]
    lines = ["crm_id,email,updated_at,is_simulated"]
    lines += [f"crm-{number}, Ana@Example.com ,{moment},true" for number, moment in enumerate(moments + bad)]
    write(settings, "crm", "contacts.csv", "\n".join(lines))
    done = ingest_source("crm", "run", NOW, settings)
    assert (done.read_count, done.new_count, done.quarantined_count) == (9, 5, 4)
    assert [moment for (moment,) in rows_of(warehouse, "crm_contacts", "updated_at")] == [
        datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
        datetime(2026, 3, 4, tzinfo=UTC),
        datetime(2026, 3, 4, 3, 6, 7, tzinfo=UTC),
    ]
    assert set_aside(warehouse) == [
        ("crm", "contacts.csv", 7 + number, "updated_at", value) for number, value in enumerate(bad)
    ]
    # as the system wrote it: staging normalises
    assert rows_of(warehouse, "crm_contacts", "email")[0] == (" Ana@Example.com ",)


def test_a_csv_row_of_the_wrong_length_and_a_wrong_byte_do_not_stop_the_others(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    text = (
        b'crm_id,first_name,updated_at\ncrm-1,"A\nna",2026-01-01\ncrm-2,Bo\ncrm-3,\xff,2026-01-01\ncrm-4,,2026-01-01\n'
    )
    write(settings, "crm", "contacts.csv", text)
    assert ingest_source("crm", "run", NOW, settings).new_count == 2
    assert rows_of(warehouse, "crm_contacts", "crm_id", "first_name") == [("crm-1", "A\nna"), ("crm-4", None)]
    assert [row[2:4] for row in set_aside(warehouse)] == [(4, "row"), (5, "first_name")]


def test_billing_keeps_every_version_of_a_subscription_and_sets_truncated_lines_aside(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    first = {"id": "cus-1", "user_id": 7, "plan": "basic", "amount": 799, "updated_at": "2026-01-01T00:00:00Z"}
    changed = {**first, "plan": "PREMIUM", "amount": 1599, "updated_at": "2026-02-01T00:00:00Z"}
    write(
        settings,
        "billing",
        "subscriptions.jsonl",
        json_lines(first, changed, first, '{"id": "cus-', {**first, "id": None}),
    )
    done = ingest_source("billing", "run", NOW, settings)
    assert (done.new_count, done.corrected_count, done.quarantined_count) == (1, 1, 2)
    assert rows_of(warehouse, "billing_subscriptions", "billing_id", "user_id", "plan", "monthly_amount_cents") == [
        ("cus-1", "7", "basic", "799"),
        ("cus-1", "7", "PREMIUM", "1599"),
    ]
    assert [row[2:4] for row in set_aside(warehouse)] == [(4, "row"), (5, "id")]


def test_an_email_event_that_is_delivered_twice_is_loaded_once(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    opened = {
        "sg_event_id": "e-1",
        "email": "a@example.com",
        "event": "open",
        "timestamp": 1_780_000_000,
        "category": ["weekly_picks", "other"],
    }
    unknown = {**opened, "sg_event_id": "e-2", "event": "teleported"}
    write(settings, "email_provider", "events.jsonl", json_lines(opened, opened, unknown))
    done = ingest_source("email_provider", "run", NOW, settings)
    assert (done.read_count, done.new_count, done.quarantined_count) == (3, 1, 1)
    assert rows_of(warehouse, "email_provider_events", "event", "campaign", "occurred_at") == [
        ("open", "weekly_picks", datetime.fromtimestamp(1_780_000_000, UTC))
    ]
    assert set_aside(warehouse) == [("email_provider", "events.jsonl", 3, "event", "teleported")]


def test_cms_tags_stay_as_the_editors_wrote_them(settings: Settings, warehouse: Connection[DictRow]) -> None:
    good = {"id": "c-1", "type": "video", "title": "First", "tags": ["Sci Fi", " drama "], "updated_at": "2026-01-01"}
    untitled = {"id": "c-2", "type": "video", "tags": [], "updated_at": "2026-01-01"}
    write(settings, "cms", "content.json", json.dumps({"items": [good, untitled, "no item", {**good, "type": "game"}]}))
    assert ingest_source("cms", "run", NOW, settings).new_count == 1
    assert rows_of(warehouse, "cms_content", "title", "tags") == [("First", ["Sci Fi", " drama "])]
    assert [row[2:4] for row in set_aside(warehouse)] == [(2, "title"), (3, "row"), (4, "type")]


def test_a_licence_is_loaded_and_one_that_is_none_is_set_aside(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    plain = {"id": "c-1", "type": "video", "title": "First", "updated_at": "2026-01-01"}
    window = {"available_from": "2026-01-01T00:00:00Z", "available_until": "2026-02-01T00:00:00+01:00"}
    licensed = {**plain, "id": "c-2", **window, "licensed_countries": ["de", "AT"]}
    backwards = {**licensed, "available_until": "2025-02-01"}
    nowhere = {**licensed, "licensed_countries": ["Germany"]}
    write(settings, "cms", "content.json", json.dumps({"items": [plain, licensed, backwards, nowhere]}))
    assert ingest_source("cms", "run", NOW, settings).new_count == 2
    columns = ("content_id", "available_from", "available_until", "licensed_countries")
    assert rows_of(warehouse, "cms_content", *columns) == [
        ("c-1", None, None, []),
        ("c-2", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, 23, tzinfo=UTC), ["DE", "AT"]),
    ]
    assert [row[2:] for row in set_aside(warehouse)] == [(3, "row", None), (4, "licensed_countries.0", "Germany")]


def test_events_carry_the_consent_of_their_moment(settings: Settings, warehouse: Connection[DictRow]) -> None:
    play = {
        "messageId": "m-1",
        "type": "track",
        "event": "Video Playback Exited",
        "userId": "u-1",
        "timestamp": "2026-11-01T10:00:00Z",
        "context": {
            "device": {"id": "d-1", "type": "web"},
            "consent": {"categoryPreferences": {"personalization": True, "advertising": False, "analytics": True}},
        },
        "properties": {"content_id": "c-1", "watched_fraction": 0.4, "rating": 3},
    }
    write(
        settings,
        "events",
        "2026-11-01.jsonl.gz",
        json_lines(
            play,
            {**play, "messageId": "m-2", "context": {}},
            {**play, "messageId": "m-3", "properties": {"content_id": "c-1", "watched_fraction": 17}},
            {**play, "messageId": "m-4", "userId": None},
            {**play, "messageId": "m-5", "event": None},
            "not even JSON",
        ),
    )
    done = ingest_source("events", "run", NOW, settings)
    assert (done.new_count, done.quarantined_count, done.watermark) == (2, 4, datetime(2026, 11, 1, 10, tzinfo=UTC))
    columns = ("message_id", "device_id", "watched_fraction", "properties", "consent_purposes")
    assert rows_of(warehouse, "events", *columns) == [
        ("m-1", "d-1", 0.4, {"rating": 3}, ["analytics", "personalization"]),
        ("m-2", None, 0.4, {"rating": 3}, None),
    ]
    assert [row[2:4] for row in set_aside(warehouse)] == [(6, "row")]
    at_the_door = warehouse.execute("select message_id, field from raw.quarantined_events order by message_id")
    assert [tuple(row.values()) for row in at_the_door] == [
        ("m-3", "properties.watched_fraction"),
        ("m-4", "userId"),
        ("m-5", "event"),
    ]


def test_a_truncated_archive_gives_what_came_before_the_damage(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    calls = [
        {"messageId": f"m-{n}", "type": "page", "anonymousId": "a", "timestamp": 1_780_000_000 + n}
        for n in range(3_000)
    ]
    path = write(settings, "events", "day.jsonl.gz", json_lines(*calls))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = ingest_source("events", "run", NOW, settings)
    assert 0 < done.new_count < 3_000
    assert set_aside(warehouse) == [("events", "day.jsonl.gz", done.new_count + 1, "file", None)]


def test_a_revoked_consent_is_a_newer_row(settings: Settings, warehouse: Connection[DictRow]) -> None:
    text = (
        "identifier_kind,identifier,purpose,region,status,recorded_at\n"
        "user_id,u-1,email_marketing,eu,granted,2026-01-01\n"
        "user_id,u-1,email_marketing,eu,Denied,2026-02-01\n"
        "user_id,u-1,telepathy,eu,granted,2026-01-01\n"
        "user_id,u-1,analytics,eu,perhaps,2026-01-01\n"
    )
    write(settings, "consents", "consents.csv", text)
    ingest_source("consents", "run", NOW, settings)
    assert rows_of(warehouse, "consent_records", "purpose", "is_granted") == [
        ("email_marketing", True),
        ("email_marketing", False),
    ]
    assert [row[3:] for row in set_aside(warehouse)] == [("purpose", "telepathy"), ("status", "perhaps")]


def test_a_survey_answer_of_nobody_is_set_aside(settings: Settings, warehouse: Connection[DictRow]) -> None:
    text = "user_id,email,question,answer,answered_at\n"
    text += "u-1,,q,9,2026-01-01\n,a@example.com,q,8,2026-01-01\n,,q,7,2026-01-01\n"
    write(settings, "surveys", "answers.csv", text)
    ingest_source("surveys", "run", NOW, settings)
    assert rows_of(warehouse, "survey_answers", "user_id", "email", "answer") == [
        ("u-1", None, "9"),
        (None, "a@example.com", "8"),
    ]
    assert [row[2:4] for row in set_aside(warehouse)] == [(4, "row")]


def test_choices_of_the_preference_centre_come_back_as_consent_and_impressions_as_events(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    warehouse.execute(
        "insert into activation.preference_changes (subscriber_id, purpose, is_granted, changed_via, changed_at) "
        "values ('s-1', 'email_marketing', false, 'preference_centre', %s)",
        (NOW,),
    )
    warehouse.execute(
        "insert into activation.impressions (request_id, subscriber_id, surface, is_fallback, content_ids, shown_at) "
        "values (gen_random_uuid(), 's-1', 'homepage', false, array['c-1', 'c-2'], %s)",
        (NOW,),
    )
    warehouse.commit()
    assert ingest_source("activation", "run-1", NOW, settings).new_count == 2
    assert ingest_source("activation", "run-2", NOW, settings).new_count == 0
    assert rows_of(warehouse, "consent_records", "identifier_kind", "identifier_value", "is_granted") == [
        ("subscriber_id", "s-1", False)
    ]
    ((properties,),) = rows_of(warehouse, "events", "properties")
    assert isinstance(properties, dict)
    assert (properties["subscriber_id"], properties["content_ids"]) == ("s-1", ["c-1", "c-2"])


@pytest.mark.parametrize("source", ["weather", "crm"])
def test_a_source_that_is_not_there_is_an_error_that_names_it(settings: Settings, source: str) -> None:
    with pytest.raises(IngestionError, match=source):
        ingest_source(source, "run", NOW, settings)
