"""Freshness: how old are each source's load and newest record, the marts, the online features and the champion?

In: ops.ingest_batches, features, ops.materializations, ops.model_versions. Out: an age in days each, with its limits.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow

from marquee.settings import Settings
from monitoring import report_page
from monitoring.findings import Examination, Finding, Limits, MissingInputError, judge_at_most, note
from monitoring.warehouse import find_champion, require_tables

_DAY = timedelta(days=1)
# every source is read daily, whether it has something new or not
_LOAD = Limits(warn=2, fail=7)
# how old a source's newest record may be: live sources speak daily, the others when somebody changes something
_RECORDS = {
    "events": Limits(warn=2, fail=7),
    "email_provider": Limits(warn=2, fail=7),
    "crm": Limits(warn=7, fail=30),
    "billing": Limits(warn=7, fail=30),
    "consents": Limits(warn=7, fail=30),
    "cms": Limits(warn=14, fail=60),
    "surveys": Limits(warn=30, fail=90),
    # what subscribers do on our own pages: nothing, as long as nobody visits
    "activation": Limits(),
}
_MARTS = Limits(warn=2, fail=7)
_ONLINE = Limits(warn=2, fail=7)
# weekly training, with a day of grace; twice missed is a failure
_CHAMPION = Limits(warn=8, fail=15)


@dataclass(frozen=True)
class _Source:
    """What is known of a source's loads up to a moment."""

    loaded_at: datetime | None
    newest_record_at: datetime | None


def examine_sources(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """Age of the last load and of the newest record of every source."""
    del settings
    sources = _read_sources(connection, as_of)
    findings = [
        finding
        for name in (*_RECORDS, *sorted(sources.keys() - _RECORDS.keys()))
        for finding in _source_findings(name, sources.get(name, _Source(None, None)), as_of)
    ]
    table = report_page.table(
        "Sources",
        ("source", "last load", "newest record"),
        [(name, _moment(source.loaded_at), _moment(source.newest_record_at)) for name, source in sources.items()],
    )
    return Examination(findings, [_anchor_text(connection), table])


def examine_marts(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """Age of the marts and features."""
    del settings
    require_tables(connection, "features.ftr_subscriber__profile")
    row = connection.execute(
        "select max(created_at) as built_at from features.ftr_subscriber__profile where created_at <= %s", (as_of,)
    ).fetchone()
    if row is None or row["built_at"] is None:
        raise MissingInputError(
            "marts", "the marts hold no subscriber yet; they come with the DAG build_profiles", "fail"
        )
    detail = f"built as of {_moment(row['built_at'])}"
    return Examination([judge_at_most("marts", "age_days", _age(row["built_at"], as_of), _MARTS, detail)])


def examine_online_features(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """Age of each view in the online store, and whether it holds anything."""
    del settings
    rows = connection.execute(
        "select distinct on (feature_view) feature_view, row_count, features_until from ops.materializations "
        "where features_until <= %s order by feature_view, features_until desc, finished_at desc",
        (as_of,),
    ).fetchall()
    if not rows:
        raise MissingInputError(
            "online features", "nothing was materialized yet; it comes with the DAG materialize_features", "fail"
        )
    findings = []
    for row in rows:
        subject, detail = f"online {row['feature_view']}", f"{row['row_count']:,} rows"
        if row["row_count"] == 0:
            findings.append(Finding(subject, "age_days", None, None, "fail", "the view is empty online"))
        else:
            findings.append(judge_at_most(subject, "age_days", _age(row["features_until"], as_of), _ONLINE, detail))
    table = report_page.table(
        "Online features",
        ("view", "rows", "values until"),
        [(row["feature_view"], f"{row['row_count']:,}", _moment(row["features_until"])) for row in rows],
    )
    return Examination(findings, [table])


def examine_champion(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Examination:
    """Age of the model that serves."""
    champion = find_champion(connection, as_of, settings)
    detail = f"{champion.model_version}, trained {_moment(champion.trained_at)}"
    age = _age(champion.trained_at, as_of)
    return Examination([judge_at_most("champion", "age_days", age, _CHAMPION, detail)])


PARTS = (examine_sources, examine_marts, examine_online_features, examine_champion)


def _read_sources(connection: Connection[DictRow], as_of: datetime) -> dict[str, _Source]:
    rows = connection.execute(
        "select source, max(started_at) as loaded_at, max(watermark) filter (where watermark <= %(as_of)s) as newest "
        "from ops.ingest_batches where started_at <= %(as_of)s group by source order by source",
        {"as_of": as_of},
    ).fetchall()
    return {row["source"]: _Source(row["loaded_at"], row["newest"]) for row in rows}


def _source_findings(name: str, source: _Source, as_of: datetime) -> list[Finding]:
    if source.loaded_at is None:
        return [Finding(name, "load_age_days", None, _LOAD.warn, "fail", "never loaded; run the DAG ingest_sources")]
    load = judge_at_most(name, "load_age_days", _age(source.loaded_at, as_of), _LOAD)
    limits = _RECORDS.get(name, Limits())
    if source.newest_record_at is None:
        return [load, note(name, "record_age_days", None, "it is read, and has not held a record yet")]
    detail = f"newest record of {_moment(source.newest_record_at)}"
    return [load, judge_at_most(name, "record_age_days", _age(source.newest_record_at, as_of), limits, detail)]


def _anchor_text(connection: Connection[DictRow]) -> object:
    row = connection.execute("select value from ops.state where name = 'demo_anchor'").fetchone()
    demo = (
        ""
        if row is None
        else f" The demo's data ends at {row['value'][:16].replace('T', ' ')} UTC and does not grow by itself, so its "
        "sources age until other data is imported."
    )
    return report_page.text(f"Ages are in days.{demo}", "What was loaded when")


def _age(moment: datetime, as_of: datetime) -> float:
    return max(0.0, (as_of - moment) / _DAY)


def _moment(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
