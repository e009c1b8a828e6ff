"""Builds of the warehouse that add what is new: whatever came, they leave what a build from nothing leaves."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import SecretStr

from ingestion.identity.resolving import erase_identifier
from marquee import database, dbt_runner
from marquee.settings import Settings
from tests.dbt_project import large_world

DAY_ONE = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY_TWO = DAY_ONE + timedelta(days=1)
DAY_THREE = DAY_ONE + timedelta(days=2)
# which transaction of which build wrote a row is not what the row says
_BOOKKEEPING = (
    "'written_xid', 'former_subscriber_ids', 'changed_xid', 'assigned_xid'"  # what builds remember for the next one
)
_MEMORIES = (
    "'int_consents_compared', 'int_contents_compared', 'int_subscribers_permitted', 'int_subscribers_touched', "
    "'int_identifiers_assigned'"  # int_identifiers_resolved is what it says today
)
_MODELS_ONLY = ["--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"]

Tables = dict[str, set[str]]


@pytest.fixture(scope="module")
def history(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Tables]]:
    """Every table after each build of a story, by the name of the build."""
    settings = Settings(var_dir=tmp_path_factory.mktemp("increments"), database_url=SecretStr(make_database()))
    with pytest.MonkeyPatch.context() as environment, database.connect(settings) as connection:
        # a build needs no network: whoever asks for a page or a package asks nobody
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            environment.setenv(name, "http://127.0.0.1:9")
        tables: dict[str, Tables] = {}
        large_world.make_world(connection, 3_000, 400, DAY_ONE)
        _begin_stories(connection, DAY_ONE)
        connection.commit()
        tables["day one"] = _built(settings, connection, DAY_ONE)
        large_world.add_day(connection, 300, 400, DAY_TWO)
        _change_everything(connection, DAY_TWO)
        connection.commit()
        tables["day two"] = _built(settings, connection, DAY_TWO)
        large_world.add_day(connection, 100, 400, DAY_THREE, first=5_000_000_000)
        _change_records(connection, DAY_THREE)
        connection.commit()
        tables["day three"] = _built(settings, connection, DAY_THREE)
        tables["day three anew"] = _built(settings, connection, DAY_THREE, "--full-refresh")
        tables["day three anew"]["undescribed"] = _undescribed(settings, connection)
        tables["day one again"] = _built(settings, connection, DAY_ONE)
        tables["day one again"]["moments"] = _are_all_events_up_to(connection, DAY_ONE)
        yield tables


def _built(settings: Settings, connection: Connection[DictRow], as_of: datetime, *options: str) -> Tables:
    dbt_runner.run(["build", *_MODELS_ONLY, *options], settings, as_of)
    names = connection.execute(
        "select table_schema, table_name, string_agg(quote_ident(column_name), ', ' order by ordinal_position) "
        "as columns from information_schema.columns where table_schema in ('intermediate', 'marts', 'features') "
        f"and column_name not in ({_BOOKKEEPING}) and table_name not in ({_MEMORIES}) group by 1, 2"
    ).fetchall()
    tables = {
        f"{row['table_schema']}.{row['table_name']}": {
            found["line"]
            for found in connection.execute(
                f"select ({row['columns']})::text as line from {row['table_schema']}.{row['table_name']}".encode()
                if "," in row["columns"]
                else f"select {row['columns']}::text as line from {row['table_schema']}.{row['table_name']}".encode()
            )
        }
        for row in names
    }
    connection.commit()
    return tables


def _are_all_events_up_to(connection: Connection[DictRow], moment: datetime) -> set[str]:
    """Whether the events that happened up to then are there, and nothing later is in marts and features."""
    row = connection.execute(
        "select row((select count(*) from raw.events where occurred_at <= %(moment)s) = count(*) and "
        "max(occurred_at) <= %(moment)s and greatest((select max(occurred_at) from marts.fct_interactions), "
        "(select max(valid_from) from marts.fct_subscriptions), "
        "(select max(event_timestamp) from features.ftr_content__popularity), "
        "(select max(event_timestamp) from features.ftr_subscriber__sequence)) <= %(moment)s)::text as is_so "
        "from intermediate.int_events_sessionized",
        {"moment": moment},
    ).fetchone()
    assert row is not None
    return {row["is_so"]}


def _undescribed(settings: Settings, connection: Connection[DictRow]) -> set[str]:
    """Columns of tables and views that no yml describes."""
    nodes = json.loads((settings.dbt_target_dir / "manifest.json").read_text())["nodes"].values()
    described = {f"{node['name']}.{column}" for node in nodes for column in node["columns"]}
    rows = connection.execute(
        "select table_name || '.' || column_name as name from information_schema.columns "
        "where table_schema in ('staging', 'intermediate', 'marts', 'features')"
    )
    return {row["name"] for row in rows} - described


def _begin_stories(connection: Connection[DictRow], moment: datetime) -> None:
    """What will turn out otherwise on the next day."""
    for minutes in (0, 50, 300):
        _say(
            connection, f"bridged-{minutes}", moment - timedelta(days=2) + timedelta(minutes=minutes), client="bridged"
        )
    for place in range(4):
        _say(connection, f"stranger-{place}", moment - timedelta(days=place + 1), client="stranger", content="c-3")
        _say(connection, f"corrected-{place}", moment - timedelta(days=place + 3), client="c", user="corrected")
    _say(connection, "unlisted", moment - timedelta(days=9), client="c", user="user-7", content="c-unlisted")
    _write_contact(connection, "1", "shared@example.com", moment - timedelta(days=20))
    _write_mail(connection, "shared@example.com", moment - timedelta(days=9))
    connection.execute(
        "insert into raw.survey_answers (source, source_key, row_hash, user_id, question, answer, answered_at, "
        "is_simulated) values ('surveys', 'a-1', '1', 'forgotten', 'occupation', 'baker', %s, true)",
        (moment - timedelta(days=5),),
    )


def _change_everything(connection: Connection[DictRow], moment: datetime) -> None:
    """Late events, merges, corrections, changes of the catalogue, of contacts and of bills."""
    # joins two sessions to one, and begins another earlier
    _say(connection, "bridge", moment - timedelta(days=3) + timedelta(minutes=25), client="bridged")
    _say(connection, "before", moment - timedelta(days=3) + timedelta(minutes=290), client="bridged")
    # the stranger was somebody all along
    _say(connection, "merge", moment - timedelta(hours=1), client="stranger", user="user-1", kind="identify")
    # a contact has another address than it was thought to have
    _write_contact(connection, "2", "own@example.com", moment - timedelta(hours=2))
    connection.execute(
        "insert into raw.cms_content (source, source_key, row_hash, content_id, content_type, title, tags, "
        "duration_minutes, published_at, updated_at, is_simulated, is_deleted, deleted_at) "
        "select 'cms', id, '2', id, 'video', 'Title', array['Comedy', 'Horror'], '45', %(then)s, %(then)s, true, "
        "id = 'c-2', case when id = 'c-2' then %(then)s end from unnest(array['c-1', 'c-2', 'c-unlisted']) as ids (id)",
        {"then": moment - timedelta(hours=3)},
    )
    connection.execute("delete from raw.survey_answers where user_id = 'forgotten'")
    assert erase_identifier(connection, "user_id:forgotten", moment)
    _change_bills(connection, moment - timedelta(hours=4))
    # somebody moved to another country, somebody is gone, and the provider corrects an address
    connection.execute(
        "insert into raw.crm_contacts (source, source_key, row_hash, crm_id, user_id, email, birth_year, country, "
        "updated_at, is_simulated, is_deleted, deleted_at) "
        "select source, source_key, 'other', crm_id, user_id, email, '2011', 'BR', %(then)s, true, crm_id = 'crm-20', "
        "case when crm_id = 'crm-20' then %(then)s end from raw.crm_contacts where crm_id in ('crm-10', 'crm-20')",
        {"then": moment - timedelta(hours=5)},
    )
    connection.execute(
        "insert into raw.email_provider_events (source, source_key, row_hash, email, event, message_id, campaign, "
        "occurred_at, is_simulated) select source, source_key, 'other', 'person9@example.com', event, message_id, "
        "campaign, occurred_at, true from raw.email_provider_events where source_key = 'm-8-delivered'"
    )


def _change_records(connection: Connection[DictRow], moment: datetime) -> None:
    """What CRM and billing say on a day on which nobody is erased: only those of whom they speak are looked at."""
    then = moment - timedelta(hours=4)
    # the address goes to somebody else, who had none
    _write_contact(connection, "3", "third@example.com", then)
    _say(connection, "found", then, client="finder", user="finder", kind="identify")
    connection.execute("update raw.events set email = 'own@example.com' where message_id = 'found'")
    # somebody else moved, somebody else is gone, and two people's records had been taken for one
    connection.execute(
        "insert into raw.crm_contacts (source, source_key, row_hash, crm_id, user_id, email, birth_year, country, "
        "created_at, updated_at, is_simulated, is_deleted, deleted_at) "
        "select source, source_key, 'third', crm_id, case crm_id when 'crm-40' then 'user-41' else user_id end, "
        "case crm_id when 'crm-40' then 'other40@example.com' else email end, birth_year, 'CA', created_at, %(then)s, "
        "true, crm_id = 'crm-50', case when crm_id = 'crm-50' then %(then)s end "
        "from raw.crm_contacts where crm_id in ('crm-30', 'crm-40', 'crm-50')",
        {"then": then},
    )
    connection.execute(
        "insert into raw.billing_subscriptions (source, source_key, row_hash, billing_id, user_id, email, plan, "
        "status, monthly_amount_cents, currency, started_at, updated_at, is_simulated, is_deleted) "
        "select distinct on (billing_id) source, source_key, 'third', billing_id, user_id, "
        "case billing_id when 'b-15' then 'paid15@example.com' else email end, 'family', status, '2999', currency, "
        "started_at, %(then)s, true, billing_id = 'b-16' from raw.billing_subscriptions "
        "where billing_id in ('b-15', 'b-16', 'b-17') order by billing_id, updated_at desc",
        {"then": then},
    )


def _change_bills(connection: Connection[DictRow], moment: datetime) -> None:
    """A dearer plan, a subscription that is gone, one of somebody else, a refund, and an invoice that never was."""
    connection.execute(
        "insert into raw.billing_subscriptions (source, source_key, row_hash, billing_id, user_id, email, plan, "
        "status, monthly_amount_cents, currency, started_at, updated_at, is_simulated, is_deleted) "
        "select distinct on (billing_id) source, source_key, 'other', billing_id, "
        "case billing_id when 'b-7' then 'user-6' else user_id end, "
        "case billing_id when 'b-7' then 'person6@example.com' else email end, 'family', status, '2999', currency, "
        "started_at, %s, true, billing_id = 'b-6' from raw.billing_subscriptions "
        "where billing_id in ('b-5', 'b-6', 'b-7') order by billing_id, updated_at desc",
        (moment,),
    )
    connection.execute(
        "insert into raw.billing_invoices (source, source_key, row_hash, invoice_id, billing_id, status, amount_cents, "
        "refunded_cents, currency, issued_at, refunded_at, updated_at, is_simulated, is_deleted) "
        "select source, source_key, 'other', invoice_id, billing_id, 'refunded', amount_cents, amount_cents, currency, "
        "issued_at, %(then)s, %(then)s, true, invoice_id = 'i-2-1' from raw.billing_invoices "
        "where invoice_id in ('i-1-1', 'i-2-1')",
        {"then": moment},
    )


def _say(
    connection: Connection[DictRow],
    message_id: str,
    moment: datetime,
    client: str,
    user: str | None = None,
    content: str | None = None,
    kind: str = "track",
) -> None:
    connection.execute(
        "insert into raw.events (source, message_id, event_type, event, user_id, anonymous_id, content_id, "
        "watched_fraction, occurred_at, is_simulated) values ('live', %s, %s, %s, %s, %s, %s, 0.7, %s, true)",
        (message_id, kind, "Video Playback Exited" if content else "Home", user, client, content, moment),
    )


def _write_contact(connection: Connection[DictRow], version: str, email: str, moment: datetime) -> None:
    connection.execute(
        "insert into raw.crm_contacts (source, source_key, row_hash, crm_id, user_id, email, updated_at, is_simulated) "
        "values ('crm', 'crm-corrected', %s, 'crm-corrected', 'corrected', %s, %s, true)",
        (version, email, moment),
    )


def _write_mail(connection: Connection[DictRow], email: str, moment: datetime) -> None:
    connection.execute(
        "insert into raw.email_provider_events (source, source_key, row_hash, email, event, message_id, campaign, "
        "occurred_at, is_simulated) values ('email', %s, '1', %s, 'delivered', 'm-0', 'weekly', %s, true)",
        (email, email, moment),
    )


def _differences(left: Tables, right: Tables) -> dict[str, tuple[list[str], list[str]]]:
    return {
        name: (sorted(left[name] - right[name])[:3], sorted(right[name] - left[name])[:3])
        for name in left.keys() | right.keys()
        if "." in name and left[name] != right[name]
    }


def test_increments_leave_what_a_build_from_nothing_leaves(history: dict[str, Tables]) -> None:
    assert _differences(history["day three"], history["day three anew"]) == {}


def test_who_was_erased_is_forgotten_by_the_next_build(history: dict[str, Tables]) -> None:
    known = [
        any("user_id:forgotten" in line for line in history[day]["intermediate.int_identifiers_resolved"])
        for day in ("day one", "day two")
    ]
    assert known == [True, False]


def test_no_column_is_undescribed(history: dict[str, Tables]) -> None:
    assert history["day three anew"]["undescribed"] == set()


def test_a_past_day_is_built_again_without_what_came_later(history: dict[str, Tables]) -> None:
    assert history["day one again"]["moments"] == {"(t)"}
