"""The whole pipeline as a newcomer meets it: run, killed half way, run again, stopped, run once more.

One machine goes through these steps in order, because each costs minutes; the names say what each step proves.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import psycopg
import pytest

from marquee.errors import MarqueeError
from marquee.services import supervisor
from tests.end_to_end.machine import Command, Machine

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]

_COUNTED = (
    "raw.crm_contacts", "raw.billing_subscriptions", "raw.email_provider_events", "raw.cms_content",
    "raw.events where source <> 'activation'", "raw.survey_answers", "marts.dim_subscribers",
    "marts.dim_subscriber_identifiers", "marts.dim_content",
    "marts.fct_interactions", "marts.fct_sessions", "marts.fct_email_engagement", "features.ftr_subscriber__sequence",
    "features.ftr_subscriber__activity", "features.ftr_subscriber__profile", "ops.model_versions",
    "ops.quarantined_rows",
)  # fmt: skip


@dataclass
class Story:
    machine: Machine
    running: Command | None = None
    counts: dict[str, int] = field(default_factory=dict)
    sent: set[tuple[str, str, str]] = field(default_factory=set)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    machine = Machine(tmp_path_factory.mktemp("e2e") / "var")
    yield Story(machine)
    machine.start("down").wait(120)


def _sent_count(machine: Machine) -> int:
    try:
        with machine.connect() as connection:
            row = connection.execute("select count(*) as n from activation.sends where status = 'sent'").fetchone()
    except (MarqueeError, psycopg.Error):
        return 0
    return int(row["n"]) if row else 0


def _counts(machine: Machine) -> dict[str, int]:
    return {relation: _number(machine, f"select count(*) as n from {relation}") for relation in _COUNTED}


def _sent(machine: Machine) -> set[tuple[str, str, str]]:
    with machine.connect() as connection:
        rows = connection.execute("select campaign_id, subscriber_id, occurrence_key from activation.sends").fetchall()
    return {(row["campaign_id"], row["subscriber_id"], row["occurrence_key"]) for row in rows}


def _fell_due_since_the_build_before(machine: Machine) -> set[tuple[str, str, str]]:
    """Whose day came between the two newest builds: minutes pass, and a thirtieth day among them."""
    with machine.connect() as connection:
        rows = connection.execute(
            "select campaign_id, subscriber_id, occurrence_key from marts.fct_campaign_candidates "
            "where eligible_since > (select as_of from ops.dbt_runs where completed_at is not null "
            "order by dbt_run_id desc offset 1 limit 1)"
        ).fetchall()
    return {(row["campaign_id"], row["subscriber_id"], row["occurrence_key"]) for row in rows}


def _impressions_in_raw(machine: Machine) -> int:
    return _number(machine, "select count(*) as n from raw.events where source = 'activation'")


def _impressions_shown(machine: Machine) -> int:
    return _number(machine, "select count(*) as n from activation.impressions")


def _number(machine: Machine, query: str) -> int:
    with machine.connect() as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row["n"])


def _champions_in_mlflow(machine: Machine) -> int:
    return _number(
        machine,
        """
        select count(*) as n
        from mlflow.registered_model_aliases
        inner join mlflow.model_version_tags using (name, version)
        where alias = 'champion'
            and key = 'marquee.model_version'
            and value = (select model_version from ops.model_promotions order by promotion_id desc limit 1)
        """,
    )


def _doubled_messages(machine: Machine) -> int:
    return _number(
        machine,
        """
        select count(*) as n from (
            select custom_args ->> 'campaign_id', to_email, custom_args ->> 'occurrence_key'
            from activation.captured_messages
            group by 1, 2, 3
            having count(*) > 1
        ) as doubled
        """,
    )


def test_1_a_run_is_killed_while_it_sends_email(story: Story) -> None:
    run = story.machine.start("run", "--once")
    run.wait_for(lambda: _sent_count(story.machine) >= 5, 600)
    run.kill_9()
    assert _sent_count(story.machine) >= 5


def test_2_the_next_run_completes_and_stays_up(story: Story) -> None:
    story.running = story.machine.start("run")
    story.running.wait_for(lambda: "Ctrl-C ends it." in story.running.text, 600)  # type: ignore[union-attr]
    text = story.running.text
    for figure in ("Ingested", "Unified", "Features materialized", "Recommendation quality", "Verdicts", "Emails"):
        assert figure in text
    assert "simulated" in text


def test_3_no_email_went_out_twice_and_none_is_missing(story: Story) -> None:
    assert _doubled_messages(story.machine) == 0
    with story.machine.connect() as connection:
        row = connection.execute(
            """
            select
                (select count(*) from activation.sends where status = 'sent') as sent,
                (select count(*) from activation.sends where status <> 'sent') as unsettled,
                (select count(*) from activation.captured_messages) as captured
            """
        ).fetchone()
    assert row is not None
    assert row["sent"] == row["captured"] > 100
    assert row["unsettled"] == 0


def test_3_mlflow_shows_each_version_once_and_the_champion_under_its_alias(story: Story) -> None:
    versions = _number(story.machine, "select count(*) as n from ops.model_versions")
    assert _number(story.machine, "select count(*) as n from mlflow.runs") == versions
    assert _champions_in_mlflow(story.machine) == 1


@pytest.mark.parametrize(
    "title",
    ["Airflow UI", "Homepage", "Preference centre", "Captured mailbox", "dbt docs", "Drift and fairness reports",
     "API docs"],
)  # fmt: skip
def test_4_every_address_answers(story: Story, title: str) -> None:
    pages = {page.title: page.url for page in supervisor.pages(story.machine.settings)}
    answer = httpx.get(pages[title], follow_redirects=True, timeout=30)
    assert answer.status_code == 200
    assert "<html" in answer.text.lower()


def test_5_the_homepage_serves_the_champion(story: Story) -> None:
    serving = f"http://127.0.0.1:{story.machine.settings.serving_port}"
    with story.machine.connect() as connection:
        champion = connection.execute(
            "select model_version from ops.model_promotions order by promotion_id desc limit 1"
        ).fetchone()
        subscriber = connection.execute(
            "select subscriber_id from marts.dim_subscribers join features.ftr_subscriber__sequence "
            "using (subscriber_id) where has_personalization_consent limit 1"
        ).fetchone()
    assert champion is not None
    assert subscriber is not None
    answer = httpx.get(
        f"{serving}/v1/recommendations", params={"subscriber_id": subscriber["subscriber_id"], "count": 10}
    ).json()
    assert answer["is_fallback"] is False
    assert answer["model_version"] == champion["model_version"]
    assert len(answer["items"]) == 10


def test_5_the_verdict_on_the_model_is_a_row_and_a_page_and_nothing_of_the_default_data_is_poison(story: Story) -> None:
    with story.machine.connect() as connection:
        verdict = connection.execute(
            "select run_key, verdict, report from ops.model_verdicts order by decided_at desc limit 1"
        ).fetchone()
        assert verdict is not None
        shares = connection.execute(
            "select value from ops.model_checks where run_key = %s and metric = 'set_aside_share'",
            (verdict["run_key"],),
        ).fetchall()
    # a second version of nearly the same data may be held, never rejected
    assert verdict["verdict"] in ("promote", "hold")
    assert {row["value"] for row in shares} == {0}
    page = httpx.get(f"http://127.0.0.1:{story.machine.settings.serving_port}/reports/{verdict['report']}", timeout=30)
    assert f"Verdict: {verdict['verdict']}" in page.text


def test_6_ctrl_c_leaves_nothing_running(story: Story) -> None:
    assert story.running is not None
    story.counts = _counts(story.machine)
    story.sent = _sent(story.machine)
    story.running.interrupt()
    assert story.running.wait(90) == 0
    assert story.machine.leftovers() == []
    for port in story.machine.ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_7_another_run_changes_no_row_count_and_sends_nothing(story: Story) -> None:
    again = story.machine.start("run", "--once")
    code = again.wait(600)
    assert code == 0, again.text[-4000:]
    up = story.machine.start("up")
    up.wait_for(lambda: "Ctrl-C ends it." in up.text, 120)
    try:
        assert _counts(story.machine) == story.counts
        assert _sent(story.machine) - story.sent <= _fell_due_since_the_build_before(story.machine)
        assert _number(story.machine, "select count(*) as n from activation.captured_messages") == len(
            _sent(story.machine)
        )
        assert _doubled_messages(story.machine) == 0
        assert _impressions_in_raw(story.machine) == _impressions_shown(story.machine) > 0
    finally:
        up.interrupt()
        assert up.wait(90) == 0
