"""What a run of the pipeline did, in figures read back from the database: the last thing that `marquee run` prints.

In: a warehouse connection. Out: rich tables. Nothing is computed here that a room has not recorded.
"""

from psycopg import Connection
from psycopg.rows import DictRow
from rich.console import Console
from rich.table import Table

_RAW_TABLES = {
    "CRM contacts": "raw.crm_contacts",
    "billing subscriptions": "raw.billing_subscriptions",
    "billing invoices": "raw.billing_invoices",
    "email provider events": "raw.email_provider_events",
    "CMS content": "raw.cms_content",
    "events": "raw.events",
    "consent records": "raw.consent_records",
    "survey answers": "raw.survey_answers",
}
_SHOWN_METRICS = ("ndcg", "recall", "coverage")


def print_summary(connection: Connection[DictRow], console: Console) -> None:
    """Print every part of which there is something to say."""
    for table in (
        _sources(connection),
        _profiles(connection),
        _features(connection),
        _quality(connection),
        _verdicts(connection),
        _campaigns(connection),
    ):
        console.print(table)
        console.print()
    if _is_simulated(connection):
        console.print(
            "[dim]The interactions are MovieLens-100k's; identities, devices, plans, consents, emails, articles and "
            "podcasts around them are simulated.[/]"
        )


def _sources(connection: Connection[DictRow]) -> Table:
    table = Table(
        "source", "rows", "of them simulated", "corrected", "deleted", "set aside", title="Ingested",
        title_justify="left",
    )  # fmt: skip
    for name, relation in _RAW_TABLES.items():
        row = _one(connection, f"select count(*) as n, count(*) filter (where is_simulated) as s from {relation}")
        sources = _sources_of(relation.removeprefix("raw."))
        aside = _one(
            connection,
            "select (select count(*) from ops.quarantined_rows where source = any(%s)) "
            "+ (select count(*) from raw.quarantined_events where source = any(%s) and replayed_at is null) as n",
            [sources, sources],
        )
        changes = _one(
            connection,
            "select coalesce(sum(corrected_count), 0) as corrected, coalesce(sum(deleted_count), 0) as deleted "
            "from ops.ingest_batches where source = any(%s)",
            [sources],
        )
        counts = (row["n"], row["s"], changes["corrected"], changes["deleted"], aside["n"])
        table.add_row(name, *(f"{count:,}" for count in counts))
    return table


def _sources_of(relation: str) -> list[str]:
    """Names under which a raw table's rows are set aside: the demo's connector or the import's file."""
    return {
        "crm_contacts": ["crm", "subscribers"],
        "billing_subscriptions": ["billing", "subscriptions"],
        "billing_invoices": ["invoices"],
        "email_provider_events": ["email_provider", "email_events"],
        "cms_content": ["cms", "content"],
        "events": ["events"],
        "consent_records": ["consents"],
        "survey_answers": ["surveys"],
    }[relation]


def _profiles(connection: Connection[DictRow]) -> Table:
    table = Table("profiles", "count", title="Unified", title_justify="left")
    identifiers = _one(connection, "select count(*) as n from marts.dim_subscriber_identifiers")["n"]
    people = _one(
        connection,
        "select count(*) as n, count(*) filter (where is_known) as known, "
        "count(*) filter (where has_personalization_consent) as consenting from marts.dim_subscribers",
    )
    table.add_row("subscribers", f"{people['n']:,}")
    table.add_row("unified from identifiers", f"{identifiers:,}")
    table.add_row("known (signed in or with an email)", f"{people['known']:,}")
    table.add_row("with consent to personalization", f"{people['consenting']:,}")
    table.add_row("interactions", f"{_one(connection, 'select count(*) as n from marts.fct_interactions')['n']:,}")
    table.add_row("content", f"{_one(connection, 'select count(*) as n from marts.dim_content')['n']:,}")
    return table


def _features(connection: Connection[DictRow]) -> Table:
    table = Table("feature view", "rows online", title="Features materialized", title_justify="left")
    rows = connection.execute(
        "select distinct on (feature_view) feature_view, row_count from ops.materializations "
        "order by feature_view, finished_at desc"
    )
    for row in rows:
        table.add_row(row["feature_view"], f"{row['row_count']:,}")
    return table


def _quality(connection: Connection[DictRow]) -> Table:
    newest = connection.execute(
        "select model_version, metrics, (select verdict from ops.model_verdicts as judged "
        "where judged.model_version = model_versions.model_version order by decided_at desc limit 1) as verdict "
        "from ops.model_versions order by trained_at desc limit 1"
    ).fetchone()
    if newest is None:
        return Table(title="No model yet", title_justify="left")
    champion = connection.execute(
        "select model_version from ops.model_promotions order by promotion_id desc limit 1"
    ).fetchone()
    verdict = f"verdict: {newest['verdict']}" if newest["verdict"] else "not judged yet"
    serving = champion["model_version"] if champion else "none"
    table = Table(
        "split", "model", "metric", "value", "95% interval", "subscribers",
        title=f"Recommendation quality of {newest['model_version']}; {verdict}; champion: {serving}",
        title_justify="left",
    )  # fmt: skip
    for row in newest["metrics"]:
        if row["metric"] in _SHOWN_METRICS and row["k"] == 10:
            interval = f"{row['low']:.4f} to {row['high']:.4f}" if row.get("low") is not None else ""
            table.add_row(
                row["protocol"], row["model"], f"{row['metric']}@{row['k']}", f"{row['value']:.4f}", interval,
                f"{row['user_count']:,}",
            )  # fmt: skip
    return table


def _verdicts(connection: Connection[DictRow]) -> Table:
    table = Table("check", "pass", "warn", "fail", "worst finding", title="Verdicts", title_justify="left")
    rows = connection.execute(
        """
        with newest as (select run_key from ops.quality_verdicts order by checked_at desc limit 1)
        select
            check_kind,
            count(*) filter (where verdict = 'pass') as passed,
            count(*) filter (where verdict = 'warn') as warned,
            count(*) filter (where verdict = 'fail') as failed,
            (array_agg(subject || ' ' || metric || ' ' || coalesce(round(value::numeric, 3)::text, '')
                || case when detail = '' then '' else ': ' || detail end
                order by verdict) filter (where verdict <> 'pass'))[1] as worst
        from ops.quality_verdicts join newest using (run_key)
        group by check_kind
        order by check_kind
        """
    )
    for row in rows:
        table.add_row(row["check_kind"], str(row["passed"]), str(row["warned"]), str(row["failed"]), row["worst"] or "")
    return table


def _campaigns(connection: Connection[DictRow]) -> Table:
    table = Table(
        "campaign", "candidates", "sent in this run", "sent ever", "held", title="Emails", title_justify="left"
    )
    table.add_column("not sent, by reason", min_width=len("outcome_unknown 1,000"))
    rows = connection.execute(
        """
        select distinct on (runs.campaign_id)
            runs.campaign_id,
            runs.candidate_count,
            runs.sent_count,
            runs.excluded_counts,
            (select count(*) from activation.sends where campaign_id = runs.campaign_id and status = 'sent') as sent,
            (select count(*) from activation.sends where campaign_id = runs.campaign_id and status = 'held') as held
        from activation.campaign_runs as runs
        order by runs.campaign_id, runs.finished_at desc
        """
    )
    for row in rows:
        reasons = "\n".join(f"{reason} {count:,}" for reason, count in sorted(row["excluded_counts"].items()))
        table.add_row(
            row["campaign_id"], f"{row['candidate_count']:,}", f"{row['sent_count']:,}", f"{row['sent']:,}",
            f"{row['held']:,}", reasons,
        )  # fmt: skip
    return table


def _is_simulated(connection: Connection[DictRow]) -> bool:
    return bool(_one(connection, "select exists (select from raw.events where is_simulated) as found")["found"])


def _one(connection: Connection[DictRow], query: str, parameters: list[list[str]] | None = None) -> DictRow:
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return row
