"""The measured part of the inventory: how full, how various and how well known the rows of each stream are.

In: the declared systems, the raw tables, and what the loads noted in ops. Out: `Measured` values. Fields of a
table above the sample's size are measured on a sample of its pages; rows and people are counted in full.
"""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql
from psycopg.rows import DictRow

from ingestion.inventory.systems import Field, Pii, Stream, System, shared_kinds

SAMPLE_ROWS = 50_000

_LONGEST_EXAMPLE = 40
_LOADS_LOOKED_AT = 30


@dataclass(frozen=True)
class MeasuredField:
    """One column of a stream; `example` is None for what is about a person."""

    name: str
    data_type: str
    pii: Pii
    filled_share: float | None
    distinct_share: float | None
    example: str | None


@dataclass(frozen=True)
class Loads:
    """What the loads of a source noted; `observed_hours` lie between two that brought something."""

    last_loaded_at: datetime | None
    watermark: datetime | None
    observed_hours: float | None


@dataclass(frozen=True)
class Measured:
    """One stream as it is; a share is None where the question makes no sense."""

    stream: Stream
    loads: Loads
    row_count: int
    record_count: int
    simulated_share: float | None
    missing_consent_share: float | None
    missing_identifier_share: float | None
    known_elsewhere_share: float | None
    quarantined_counts: dict[str, int]
    fields: tuple[MeasuredField, ...]


def measure(connection: Connection[DictRow], systems: tuple[System, ...]) -> dict[tuple[str, str], Measured]:
    """Measure every stream, by (system, relation), inside the caller's transaction."""
    connection.execute("drop table if exists pg_temp.named_people")
    connection.execute(
        "create temp table named_people (system text, relation text, row_id bigint, row_count bigint, kind text, "
        "value text, has_consent boolean) on commit drop"
    )
    counted = {}
    for system in systems:
        for stream in system.streams:
            counted[system.name, stream.relation] = _sample_rows(connection, systems, system, stream)
    connection.execute("create index on named_people (kind, value)")
    connection.execute("analyze named_people")
    _find_asked(connection, systems)
    return {
        (system.name, stream.relation): Measured(
            stream,
            _loads(connection, stream.source),
            *counted[system.name, stream.relation][:3],
            *_people(connection, systems, system, stream),
            _quarantined(connection, stream),
            counted[system.name, stream.relation][3],
        )
        for system in systems
        for stream in system.streams
    }


def _sample_rows(
    connection: Connection[DictRow], systems: tuple[System, ...], system: System, stream: Stream
) -> tuple[int, int, float | None, tuple[MeasuredField, ...]]:
    """Rows, records, simulated share and fields."""
    relation, condition = sql.Identifier("raw", stream.relation), _condition(systems, stream)
    # an event is stored once
    records = "count(*)" if stream.relation == "events" else "count(distinct (source, source_key))"
    counts = _one(
        connection,
        sql.SQL("select count(*) as row_count, {} as record_count from {} where {}").format(
            sql.SQL(records), relation, condition
        ),
    )
    percent = min(100.0, 100.0 * SAMPLE_ROWS / max(1, counts["row_count"]))
    connection.execute("drop table if exists pg_temp.sampled_rows")
    connection.execute(
        sql.SQL(
            "create temp table sampled_rows on commit drop as select * from {} tablesample system ({}) repeatable (7) "
            "where {}"
        ).format(relation, sql.Literal(percent), condition)
    )
    fields = tuple(_field(connection, name, field) for name, field in stream.fields.items())
    simulated = _one(connection, sql.SQL("select avg(is_simulated::int) as share from sampled_rows"))["share"]
    if system.is_about_people:
        _name_people(connection, system, stream, condition)
    return counts["row_count"], counts["record_count"], _share(simulated), fields


def _condition(systems: tuple[System, ...], stream: Stream) -> sql.Composable:
    """Rows of the stream: of its own source, or of all that nobody else claims; what vanished says nothing."""
    if stream.is_only:
        condition = sql.SQL("source = {}").format(sql.Literal(stream.source))
    else:
        claimed = [
            other.source
            for system in systems
            for other in system.streams
            if other.relation == stream.relation and other.is_only
        ]
        condition = sql.SQL("source <> all({})").format(sql.Literal(claimed))
    if stream.relation in ("crm_contacts", "cms_content", "billing_subscriptions", "billing_invoices"):
        return sql.SQL("{} and not is_deleted").format(condition)
    return condition


def _field(connection: Connection[DictRow], name: str, field: Field) -> MeasuredField:
    column = sql.Identifier(name)
    row = _one(
        connection,
        sql.SQL(
            "select avg((nullif({0}::text, '') is not null)::int) as filled, "
            "count(distinct {0}::text)::float8 / nullif(count({0}), 0) as various from sampled_rows"
        ).format(column),
    )
    data_type = _one(
        connection,
        sql.SQL(
            "select format_type(atttypid, atttypmod) as data_type from pg_attribute "
            "where attrelid = 'pg_temp.sampled_rows'::regclass and attname = {}"
        ).format(sql.Literal(name)),
    )["data_type"]
    example = None
    if field.pii == "none":
        found = connection.execute(
            sql.SQL(
                "select {0}::text as example from sampled_rows where nullif({0}::text, '') is not null "
                "group by 1 order by count(*) desc, 1 limit 1"
            ).format(column)
        ).fetchone()
        example = None if found is None else str(found["example"])[:_LONGEST_EXAMPLE]
    return MeasuredField(name, data_type, field.pii, _share(row["filled"]), _share(row["various"]), example)


def _name_people(connection: Connection[DictRow], system: System, stream: Stream, condition: sql.Composable) -> None:
    """Into `named_people`: each combination of identifiers that rows name together, and how many rows do."""
    pairs, columns = [], []
    for name, field in stream.fields.items():
        column = sql.Identifier(name)
        if field.identifier is not None:
            pairs.append(sql.SQL("({}, {}::text)").format(sql.Literal(field.identifier), column))
            columns.append(column)
        elif field.identifier_kind_in is not None:
            kind = sql.Identifier(field.identifier_kind_in)
            pairs.append(sql.SQL("({}, {}::text)").format(kind, column))
            columns += [kind, column]
    if not pairs:
        return
    connection.execute(
        sql.SQL(
            "insert into named_people with combinations as ("
            "    select count(*) as row_count, consent_purposes is not null as has_consent, {columns}"
            "    from {relation} where {condition} group by consent_purposes is not null, {columns}"
            "), rows as (select row_number() over () as row_id, combinations.* from combinations) "
            "select {system}, {name}, row_id, row_count, kind, spelled.value, has_consent from rows "
            "left join lateral ("
            "    select kind, case kind when 'email' then identity.normalised_email(written)"
            "        when 'phone' then identity.normalised_phone(written) else nullif(trim(written), '') end as value"
            "    from (values {pairs}) as kinds (kind, written)"
            ") as spelled on spelled.value is not null"
        ).format(
            columns=sql.SQL(", ").join(columns),
            relation=sql.Identifier("raw", stream.relation),
            condition=condition,
            system=sql.Literal(system.name),
            name=sql.Literal(stream.relation),
            pairs=sql.SQL(", ").join(pairs),
        )
    )


def _find_asked(connection: Connection[DictRow], systems: tuple[System, ...]) -> None:
    """Into `asked_people`: whom the consent register knows, or who stands in one row with somebody whom it knows."""
    registers = [system.name for system in systems for stream in system.streams if stream.relation == "consent_records"]
    connection.execute("drop table if exists pg_temp.asked_people")
    connection.execute(
        sql.SQL(
            "create temp table asked_people on commit drop as with register as ("
            "    select distinct kind, value from named_people"
            "    where relation = 'consent_records' and system = any({registers}) and value is not null"
            "), rows as ("
            "    select distinct system, relation, row_id from named_people inner join register using (kind, value)"
            ") select kind, value from register union "
            "select kind, value from named_people inner join rows using (system, relation, row_id)"
        ).format(registers=sql.Literal(registers))
    )
    connection.execute("create index on asked_people (kind, value)")
    connection.execute("analyze asked_people")


def _people(
    connection: Connection[DictRow], systems: tuple[System, ...], system: System, stream: Stream
) -> tuple[float | None, float | None, float | None]:
    """Shares of rows without consent, of rows without identifier, and of identities that another system knows."""
    if not system.is_about_people or system.is_known_by_us:
        return None, None, None
    rows = _one(
        connection,
        sql.SQL(
            "with rows as ("
            "    select row_id, row_count, bool_or(has_consent or exists ("
            "        select from asked_people where asked_people.kind = named.kind and asked_people.value = named.value"
            "    )) as has_consent, bool_or(value is not null) as has_identifier"
            "    from named_people as named where system = {system} and relation = {relation}"
            "    group by row_id, row_count"
            ") select sum(row_count) filter (where not has_consent)::float8 as without_consent,"
            " sum(row_count) filter (where not has_identifier)::float8 as without_identifier,"
            " sum(row_count)::float8 as row_count from rows"
        ).format(system=sql.Literal(system.name), relation=sql.Literal(stream.relation)),
    )
    known = _one(
        connection,
        sql.SQL(
            "select avg((exists (select from named_people as other where other.kind = named.kind"
            "    and other.value = named.value and other.system <> {system}))::int) as share from ("
            "    select distinct kind, value from named_people where system = {system} and relation = {relation}"
            "    and kind = any({kinds})"
            ") as named"
        ).format(
            system=sql.Literal(system.name),
            relation=sql.Literal(stream.relation),
            kinds=sql.Literal(shared_kinds(systems)),
        ),
    )
    if rows["row_count"] is None:
        return None, None, None
    return (
        (rows["without_consent"] or 0.0) / rows["row_count"],
        (rows["without_identifier"] or 0.0) / rows["row_count"],
        _share(known["share"]),
    )


def _loads(connection: Connection[DictRow], source: str) -> Loads:
    row = _one(
        connection,
        sql.SQL(
            "with loads as ("
            "    select started_at, watermark, new_count + corrected_count + deleted_count > 0 as has_brought"
            "    from ops.ingest_batches where source = {0} order by started_at desc limit {1}"
            "), gaps as ("
            "    select extract(epoch from started_at - lag(started_at) over (order by started_at)) / 3600 as hours"
            "    from loads where has_brought"
            ") select (select max(started_at) from loads) as last_loaded_at,"
            " (select watermark from ops.source_watermarks where source = {0}) as watermark,"
            " (select percentile_cont(0.5) within group (order by hours) from gaps) as observed_hours"
        ).format(sql.Literal(source), sql.Literal(_LOADS_LOOKED_AT)),
    )
    return Loads(row["last_loaded_at"], row["watermark"], _share(row["observed_hours"]))


def _quarantined(connection: Connection[DictRow], stream: Stream) -> dict[str, int]:
    """How many rows were set aside, by reason; a reason of the tracking plan may quote a value, so only its field."""
    rows = connection.execute(
        "select field || ' ' || reason as reason, count(*) as n from ops.quarantined_rows where source = %s "
        "group by 1 order by 2 desc, 1",
        (stream.source,),
    ).fetchall()
    if stream.relation == "events" and not stream.is_only:
        rows += connection.execute(
            "select coalesce(event, 'no event') || ': ' || field as reason, count(*) as n from raw.quarantined_events "
            "where replayed_at is null group by 1 order by 2 desc, 1 limit 50"
        ).fetchall()
    return {row["reason"]: row["n"] for row in rows}


def _one(connection: Connection[DictRow], query: sql.SQL | sql.Composed) -> DictRow:
    row: DictRow | None = connection.execute(query).fetchone()
    assert row is not None
    return row


def _share(value: object) -> float | None:
    return None if value is None else float(str(value))
