"""Consent in the warehouse: the rules by known answers and said in another way, and that no mart goes past them."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from psycopg import Connection, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from ingestion import sources
from ingestion.envelope import sample, simulation
from ingestion.loading import load_rows
from ingestion.raw_tables import CONSENT_RECORDS, ConsentRow
from ingestion.records import Record
from marquee import database, dbt_runner
from marquee.settings import Settings

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PURPOSES = ("personalization", "email_marketing", "advertising", "analytics")
SEEDS = dbt_runner.PROJECT_DIR / "seeds"

Manifest = dict[str, dict[str, dict[str, object]]]


@pytest.fixture(scope="module")
def house(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A warehouse with the sample data ingested and built."""
    settings = Settings(var_dir=tmp_path_factory.mktemp("house"), database_url=SecretStr(make_database()))
    frames = sample.sample_interactions(user_count=60, item_count=60, seed=3)
    simulation.generate(frames.interactions, frames.items, frames.users, NOW, settings.seed, settings)
    for source in sources.SOURCES:
        sources.ingest_source(source, "test", NOW, settings)
    _build(settings)
    return settings


def _build(settings: Settings) -> None:
    without = [word for kind in ("test", "unit_test") for word in ("--exclude-resource-type", kind)]
    dbt_runner.run(["build", *without], settings, NOW)


@pytest.fixture(scope="module")
def manifest(house: Settings) -> Manifest:
    found: Manifest = json.loads((house.dbt_target_dir / "manifest.json").read_text())
    return found


# --- the rules, on the models' own SQL as views over the raw tables ---------------------------------------------------


@pytest.fixture(scope="module")
def rules_url(house: Settings, manifest: Manifest, make_database: Callable[[], str]) -> str:
    """A database in which the consent models are views over raw, for one subscriber `s`."""
    url = make_database()
    with psycopg.connect(url) as connection:
        connection.execute(_SURROUNDINGS)
        for seed in ("consent_regions", "consent_purposes"):
            with (SEEDS / f"{seed}.csv").open() as file, connection.cursor() as cursor:
                rows = csv.reader(file)
                names = sql.SQL(", ").join(sql.Identifier(name) for name in next(rows))
                into = sql.SQL("copy staging.{} ({}) from stdin").format(sql.Identifier(seed), names)
                with cursor.copy(into) as copy:
                    for row in rows:
                        copy.write_row([value or None for value in row])
        own = str(database.connection_parts(database.warehouse_url(house))["dbname"])
        for name in (
            "stg_events__events",
            "stg_consents__records",
            "int_consents_recorded",
            "int_consents_signalled",
            "int_consents_said",
            "int_subscribers_ruled",
            "fct_consent_ledger",
            "int_consents_current",
        ):
            node = manifest["nodes"][f"model.marquee.{name}"]
            select = str(node["compiled_code"]).replace(f'"{own}".', "")
            connection.execute(f"create view {node['schema']}.{name} as {select}".encode())
    return url


_SURROUNDINGS = """
create schema staging;
create schema intermediate;
create schema marts;
create table staging.consent_regions (region text, region_rule text);
create table staging.consent_purposes (
    region_rule text, purpose text, is_permitted_by_default boolean, default_basis text, default_from_age integer,
    is_gpc_honoured boolean, is_gpc_liftable boolean, source text
);
create table intermediate.int_identifiers_resolved (identifier text, identifier_kind text, subscriber_id text);
create table intermediate.int_subscribers_redirected (former_subscriber_id text, subscriber_id text);
create table intermediate.int_subscribers_attributed (subscriber_id text, country text, birth_year integer);
insert into intermediate.int_identifiers_resolved values
    ('user_id:u', 'user_id', 's'), ('anonymous_id:phone', 'anonymous_id', 's'),
    ('anonymous_id:laptop', 'anonymous_id', 's');
"""


@pytest.fixture(scope="module")
def rules_connection(rules_url: str) -> Iterator[Connection[DictRow]]:
    with psycopg.connect(rules_url, row_factory=psycopg.rows.dict_row, options="-c timezone=UTC") as connection:
        yield connection


@dataclass(frozen=True)
class Recorded:
    """A record on `advertising`, given under the user id or a client's; `day` counts from the oldest."""

    day: int
    is_granted: bool
    recorded_via: str = "register"
    client: str | None = None


@dataclass(frozen=True)
class Event:
    """An event that says something on `advertising`; without a user nobody was signed in."""

    day: int
    client: str
    is_granted: bool
    is_signed_in: bool = False
    signal: str | None = None


@dataclass(frozen=True)
class History:
    """All that is known of one subscriber."""

    country: str | None
    age: int | None = 40
    recorded: tuple[Recorded, ...] = ()
    events: tuple[Event, ...] = ()


def _moment(day: int) -> datetime:
    return NOW - timedelta(days=30 - day)


def _answer(connection: Connection[DictRow], history: History) -> DictRow:
    """What the warehouse makes of it."""
    with connection.transaction(force_rollback=True):
        connection.execute(
            "insert into intermediate.int_subscribers_attributed values ('s', %s, %s)",
            (history.country, None if history.age is None else NOW.year - history.age - 1),
        )
        for place, record in enumerate(history.recorded):
            kind, value = ("anonymous_id", record.client) if record.client else ("user_id", "u")
            connection.execute(
                "insert into raw.consent_records (source, source_key, row_hash, identifier_kind, identifier_value, "
                "purpose, is_granted, recorded_via, recorded_at, is_simulated) "
                "values ('consents', %s, '', %s, %s, 'advertising', %s, %s, %s, false)",
                (str(place), kind, value, record.is_granted, record.recorded_via, _moment(record.day)),
            )
        for place, event in enumerate(history.events):
            signals = {"refused": [] if event.is_granted else ["advertising"]}
            if event.signal is not None:
                signals[event.signal] = True if event.signal == "gpc" else "a string"  # type: ignore[assignment]
            connection.execute(
                "insert into raw.events (source, message_id, event_type, user_id, anonymous_id, occurred_at, "
                "consent_purposes, consent_signals, is_simulated) "
                "values ('web', %s, 'page', %s, %s, %s, %s, %s, false)",
                (
                    f"m-{place:03}",
                    "u" if event.is_signed_in else None,
                    event.client,
                    _moment(event.day),
                    ["advertising"] if event.is_granted else [],
                    Jsonb(signals),
                ),
            )
        found = connection.execute(
            "select * from intermediate.int_consents_current where subscriber_id = 's' and purpose = 'advertising'"
        ).fetchall()
    assert len(found) == 1
    return found[0]


def gpc(day: int, client: str = "phone", *, is_signed_in: bool = False) -> Event:
    return Event(day, client, False, is_signed_in, "gpc")


YES, NO = (Recorded(5, True),), (Recorded(5, False),)
CHOSEN_LATER = (Recorded(9, True, "preference_centre"),)
ANSWERS = [
    # nothing was said: the region decides, and never against a child
    ("Europe asks first", History("DE"), False, "gdpr"),
    ("Britain asks first", History("GB"), False, "uk_gdpr"),
    ("America lets opt out", History("US"), True, "ccpa"),
    ("America of an unknown age", History("US", None), True, "ccpa"),
    ("America of a child", History("US", 12), False, "ccpa"),
    ("America of fifteen", History("US", 15), False, "ccpa"),
    ("America of sixteen", History("US", 16), True, "ccpa"),
    ("a country that the file lacks", History("ZZ"), False, "strictest"),
    ("no country at all", History(None), False, "strictest"),
    # something was said: it counts everywhere
    *((f"granted in {c}", History(c, recorded=YES), True, None) for c in ("DE", "GB", "US", "CA", None)),
    *((f"denied in {c}", History(c, recorded=NO), False, None) for c in ("DE", "GB", "US", "CA", None)),
    ("a child whose parents granted", History("US", 12, YES), True, None),
    ("withdrawn", History("US", recorded=(Recorded(1, True), Recorded(5, False))), False, None),
    ("granted again", History("DE", recorded=(Recorded(1, False), Recorded(5, True))), True, None),
    ("both at one moment", History("DE", recorded=(Recorded(5, True), Recorded(5, False))), False, None),
    # Global Privacy Control: CCPA regulations, section 7025(c)
    ("GPC opts out", History("US", events=(gpc(5),)), False, None),
    ("GPC after a grant", History("US", recorded=YES, events=(gpc(7),)), False, None),
    ("a choice after GPC", History("US", recorded=CHOSEN_LATER, events=(gpc(5),)), True, None),
    ("GPC still sent after the choice", History("US", recorded=CHOSEN_LATER, events=(gpc(5), gpc(10))), True, None),
    ("an import's assumption lifts no GPC", History("US", recorded=(Recorded(9, True, "import_assumption"),),
                                                    events=(gpc(5),)), False, None),
    ("a string without opt-out lifts no GPC", History("US", events=(gpc(5), Event(9, "phone", True, True, "gpp"))),
     False, None),
    (
        "that GPC was turned off is no opt-in",
        History("US", events=(Event(3, "phone", True), gpc(5), Event(9, "phone", True))),
        False,
        None,
    ),
    ("where GPC has no force", History("CA", recorded=YES, events=(gpc(7),)), True, None),
    ("where nobody knows the law GPC is not lifted", History(None, recorded=CHOSEN_LATER, events=(gpc(5),)),
     False, None),
    # what travelled with events
    ("the banner", History("DE", events=(Event(5, "phone", True),)), True, None),
    ("a client that goes on sending what it knew", History("DE", recorded=(Recorded(7, False, "preference_centre"),),
     events=(Event(5, "phone", True, True), Event(9, "phone", True, True))), False, None),
    # a merge: of what was said before it the more restrictive, until the person speaks
    ("refused before, granted by the browser", History("DE", recorded=NO,
     events=(Event(7, "phone", True), Event(9, "phone", True, True))), False, None),
    ("granted before, refused by the browser", History("US", recorded=YES,
     events=(Event(3, "phone", False), Event(9, "phone", False, True))), False, None),
    ("the person speaks after the merge", History("DE", recorded=(Recorded(12, True),),
     events=(Event(3, "phone", False), Event(9, "phone", False, True))), True, None),
]  # fmt: skip


@pytest.mark.parametrize(("history", "is_permitted", "rule"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS])
def test_permission_follows_what_was_said_and_where(
    rules_connection: Connection[DictRow], history: History, is_permitted: bool, rule: str | None
) -> None:
    answer = _answer(rules_connection, history)
    assert answer["is_permitted"] is is_permitted
    assert rule is None or (answer["region_rule"] == rule and not answer["is_said"])


RULES = {
    # country: (permitted by default, from which age, GPC honoured, GPC liftable)
    "DE": (False, None, True, True),
    "US": (True, 16, True, True),
    "CA": (False, None, False, False),
    None: (False, None, True, False),
}
_days = st.integers(0, 6)
_clients = st.sampled_from(["phone", "laptop"])
_recorded = st.builds(
    Recorded,
    _days,
    st.booleans(),
    st.sampled_from(["register", "preference_centre", "import_assumption"]),
    st.one_of(st.none(), st.none(), _clients),
)
_events = st.builds(Event, _days, _clients, st.booleans(), st.booleans(), st.sampled_from([None, "tcf", "gpp"])) | (
    st.builds(lambda day, client, signed: gpc(day, client, is_signed_in=signed), _days, _clients, st.booleans())
)
_histories = st.builds(
    History,
    st.sampled_from(["US", *RULES]),
    st.sampled_from([None, 12, 15, 16, 40]),
    st.lists(_recorded, min_size=1, max_size=4).map(tuple),
    st.lists(_events, min_size=1, max_size=7).map(tuple),
)


@dataclass
class _Word:
    day: int
    is_granted: bool
    via: str
    client: str | None
    is_signed_in: bool = True


def _words_of_events(events: tuple[Event, ...]) -> list[_Word]:
    """The moments at which what a client says is new."""
    words = []
    for client in ("phone", "laptop"):
        own: dict[bool, str] = {}
        before: str | None = None
        ordered = sorted(enumerate(e for e in events), key=lambda pair: (pair[1].day, pair[0]))
        for _, event in ordered:
            if event.client != client:
                continue
            word = "gpc" if event.signal == "gpc" else ("granted" if event.is_granted else "refused")
            if own.get(event.is_signed_in) != word and not (word == "granted" and before == "granted"):
                via = event.signal or "event_context"
                words.append(_Word(event.day, event.is_granted, via, client, event.is_signed_in))
            own[event.is_signed_in] = before = word
    return words


def _expected(history: History) -> bool:
    """The rules once more, one word after another."""
    default, from_age, honours, lifts = RULES[history.country]
    words = [_Word(r.day, r.is_granted, r.recorded_via, r.client, r.client is None) for r in history.recorded]
    words += _words_of_events(history.events)
    linked = {
        client: min((e.day for e in history.events if e.client == client and e.is_signed_in), default=None)
        for client in ("phone", "laptop")
        if any(word.client == client and word.via not in ("register", "preference_centre", "import_assumption")
               for word in words)
    }  # fmt: skip
    gpc_days = [word.day for word in words if word.via == "gpc"] if honours else []
    explicit = ("register", "preference_centre")
    counted = []
    for word in words:
        if word.via == "gpc" and not honours:
            continue
        if word.is_granted and gpc_days and word.day > min(gpc_days) and not (lifts and word.via in explicit):
            continue
        counted.append(word)
    said: dict[str, list[_Word]] = {}
    for word in counted:
        joined = linked.get(word.client) if word.client else None
        is_own = word.is_signed_in or (joined is not None and word.day >= joined)
        said.setdefault("person" if is_own else str(word.client), []).append(word)
    newest = {who: max(found, key=lambda word: (word.day, not word.is_granted)) for who, found in said.items()}
    person = newest.get("person")
    standing = []
    for who, word in newest.items():
        since = word.day
        if who != "person" and linked.get(who) is not None:
            since = linked[who] or 0
        if who == "person" or person is None or person.day <= since:
            standing.append(word)
    if standing:
        return all(word.is_granted for word in standing)
    return default and (from_age is None or history.age is None or history.age >= from_age)


@examples(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=_histories)
def test_the_sql_agrees_with_the_rules_said_in_another_way(
    rules_connection: Connection[DictRow], history: History
) -> None:
    assert _answer(rules_connection, history)["is_permitted"] is _expected(history)


# --- the store of what was said ---------------------------------------------------------------------------------------


def _record(identifier: str, **said: object) -> Record:
    row = ConsentRow("user_id", identifier, "advertising", True, NOW)._replace(**said)  # type: ignore[arg-type]
    return Record(f"{row.identifier_value}|{row.recorded_at}", row)


def test_what_was_said_is_neither_changed_nor_deleted_nor_stored_twice(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    records = [_record("u-1", legal_basis="contract", text_version="2026-11", proof="form 7"), _record("u-2")]
    assert load_rows(warehouse, "consents", CONSENT_RECORDS, records, NOW).new_count == 2
    assert load_rows(warehouse, "consents", CONSENT_RECORDS, records, NOW).new_count == 0
    warehouse.commit()
    for change in ("update raw.consent_records set is_granted = false", "delete from raw.consent_records"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"), warehouse.transaction():
            warehouse.execute(change.encode())
    erased = warehouse.execute("select raw.erase_consent_records('user_id', 'u-1') as n").fetchone()
    assert erased == {"n": 1}
    with pytest.raises(psycopg.errors.RestrictViolation), warehouse.transaction():
        warehouse.execute("delete from raw.consent_records")
    left = warehouse.execute("select identifier_value, legal_basis, proof from raw.consent_records").fetchall()
    assert left == [{"identifier_value": "u-2", "legal_basis": "consent", "proof": None}]
    warehouse.execute("truncate raw.consent_records")


# --- no way past the rules --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gate:
    """Looks in dbt's manifest for models that go past `permitted`."""

    manifest: Manifest
    _guarded: dict[tuple[str, str], bool] = field(default_factory=dict)

    def faults(self) -> list[str]:
        found = [fault for name in self.readable() for fault in self._faults_of(name)]
        for exposure in self.manifest["exposures"].values():
            for parent in _parents(exposure):
                node = self.manifest["nodes"].get(parent)
                if node is not None and node["resource_type"] == "model" and parent not in self.readable():
                    found.append(f"exposure {exposure['name']} reads {node['name']}, which is no mart")
        return found

    def readable(self) -> list[str]:
        """Models that others read."""
        return [
            name
            for name, node in self.manifest["nodes"].items()
            if node["resource_type"] == "model" and node["schema"] in ("marts", "features")
        ]

    def purpose_of(self, name: str) -> str:
        return str(self._meta(name).get("consent_purpose"))

    def consent_column_of(self, name: str) -> str | None:
        column = self._meta(name).get("consent_column")
        return None if column is None else str(column)

    def _meta(self, name: str) -> Mapping[str, object]:
        config = self.manifest["nodes"][name]["config"]
        assert isinstance(config, dict)
        meta: Mapping[str, object] = config["meta"]
        return meta

    def _faults_of(self, name: str) -> Iterator[str]:
        purpose, model = self._meta(name).get("consent_purpose"), self.manifest["nodes"][name]["name"]
        if purpose is None:
            yield f"{model} declares no consent_purpose"
        elif purpose == "none":
            if not self._meta(name).get("consent_reason"):
                yield f"{model} asks for no consent and gives no consent_reason"
        elif purpose not in PURPOSES:
            yield f"{model} declares the purpose {purpose}, which there is not"
        elif not self._is_guarded(name, str(purpose)):
            yield f"{model} does not pass permitted('{purpose}', ...)"

    def _is_guarded(self, name: str, purpose: str) -> bool:
        """Whether a model asks itself, or reads people only from models that did."""
        key = (name, purpose)
        if key not in self._guarded:
            parents = [parent for parent in self._read_by(name) if self._is_personal(parent)]
            self._guarded[key] = self._asks(name, purpose) or (
                bool(parents)
                and all(
                    self._is_checked_source(parent)
                    if parent in self.manifest["sources"]
                    else self.consent_column_of(parent) is None and self._is_guarded(parent, purpose)
                    for parent in parents
                )
            )
        return self._guarded[key]

    def _is_checked_source(self, name: str) -> bool:
        """Whether whoever writes the table checks consent before."""
        config = self.manifest["sources"][name]["config"]
        assert isinstance(config, dict)
        return "consent_checked_by" in config["meta"]

    def _read_by(self, name: str) -> list[str]:
        """Parents that stand in the SQL: others are named for the order of building, or for what a function reads."""
        node = self.manifest["nodes"][name]
        text = re.sub(r"--.*", "", str(node.get("compiled_code") or ""))
        everything, parents = self.manifest["nodes"] | self.manifest["sources"], _parents(node)
        named = [one for one in parents if f'"{everything[one]["schema"]}"."{everything[one]["name"]}"' in text]
        return named or parents

    def _asks(self, name: str, purpose: str) -> bool:
        """Whether its SQL has the condition, or reads another's answer to it from a column, as a condition."""
        node = self.manifest["nodes"][name]
        text = str(node.get("compiled_code") or "")
        if re.search(rf"int_consents_current\" as consents\s+where consents\.purpose = '{purpose}'", text):
            return True
        answers = {
            self.consent_column_of(parent)
            for parent in _parents(node)
            if parent in self.manifest["nodes"] and self.purpose_of(parent) == purpose and self._asks(parent, purpose)
        }
        return any(re.search(rf"\b(where|and)\s+(\w+\.)?{column}\b", text) for column in answers if column)

    def _is_personal(self, name: str) -> bool:
        node = self.manifest["nodes"].get(name)
        if node is None:
            return "cms_content" not in name
        return node["resource_type"] == "model" and any(self._is_personal(parent) for parent in _parents(node))


def _parents(node: Mapping[str, object]) -> list[str]:
    depends_on = node["depends_on"]
    assert isinstance(depends_on, dict)
    parents: list[str] = depends_on["nodes"]
    return parents


def test_every_mart_declares_its_purpose_and_passes_the_gate(manifest: Manifest) -> None:
    gate = Gate(manifest)
    assert len(gate.readable()) > 15
    assert gate.faults() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda node: node["config"]["meta"].pop("consent_purpose"), "declares no consent_purpose"),
        (lambda node: node["config"]["meta"].update(consent_purpose="telepathy"), "which there is not"),
        (lambda node: node["config"]["meta"].update(consent_purpose="none"), "gives no consent_reason"),
        (lambda node: node["config"]["meta"].update(consent_purpose="advertising"), "does not pass permitted"),
        (lambda node: node.update(compiled_code="select 1"), "does not pass permitted('personalization', ...)"),
        (lambda node: node.update(schema="intermediate"), "which is no mart"),
    ],
)
def test_a_mart_that_goes_past_the_gate_is_found(
    manifest: Manifest, change: Callable[[dict[str, object]], object], fault: str
) -> None:
    doctored = deepcopy(manifest)
    change(doctored["nodes"]["model.marquee.ftr_subscriber__sequence"])
    assert [found for found in Gate(doctored).faults() if fault in found]


def _counts(connection: Connection[DictRow], manifest: Manifest, subscriber_id: str) -> dict[str, int]:
    """Rows of a subscriber in every readable model that names one; where a column says so, those that may be used."""
    gate, counts = Gate(manifest), {}
    for name in gate.readable():
        node = manifest["nodes"][name]
        columns = node["columns"]
        assert isinstance(columns, dict)
        if "subscriber_id" not in columns:
            continue
        column = gate.consent_column_of(name)
        query = sql.SQL("select count(*) as n from {} where subscriber_id = %s{}").format(
            sql.Identifier(str(node["schema"]), str(node["name"])),
            sql.SQL(" and {}").format(sql.Identifier(column)) if column else sql.SQL(""),
        )
        found = connection.execute(query, (subscriber_id,)).fetchone()
        assert found is not None
        counts[name] = int(found["n"])
    return counts


_SIGNALS = "consent_signal_id, speaker, identifier, linked_at, purpose, is_granted, recorded_via, recorded_at"


def _signalled(connection: Connection[DictRow], relation: str, without: str) -> list[DictRow]:
    query = f"select {_SIGNALS} from {relation} where speaker <> %s order by consent_signal_id"
    return connection.execute(query.encode(), (without,)).fetchall()


def _say(connection: Connection[DictRow], message_id: str, client: str, at: datetime, purposes: list[str]) -> None:
    connection.execute(
        "insert into raw.events (source, message_id, event_type, anonymous_id, occurred_at, consent_purposes, "
        "consent_signals, is_simulated) values ('web', %s, 'page', %s, %s, %s, %s, false)",
        (message_id, client, at, purposes, Jsonb({"refused": [name for name in PURPOSES if name not in purposes]})),
    )


def _say_more(connection: Connection[DictRow]) -> str:
    """Events late and new of clients that spoke before; of one of them the older events are gone. Returns that one."""
    speakers = [
        str(row["client_identifier"]).removeprefix("anonymous_id:")
        for row in connection.execute(
            "select client_identifier, min(recorded_at) as first_at from intermediate.int_consents_signalled "
            "where client_identifier like 'anonymous_id:%' and is_granted "
            "group by client_identifier order by client_identifier limit 12"
        )
    ]
    forgotten, *others = speakers
    for place, client in enumerate(others):
        _say(connection, f"late-{place}", client, NOW - timedelta(days=40 * place), list(PURPOSES[: place % 4]))
        _say(connection, f"new-{place}", client, NOW - timedelta(minutes=place), list(PURPOSES[place % 4 :]))
    newest = connection.execute(
        "select consent_purposes as granted from raw.events where anonymous_id = %s order by occurred_at desc limit 1",
        (forgotten,),
    ).fetchone()
    assert newest is not None
    connection.execute("delete from raw.events where anonymous_id = %s", (forgotten,))
    connection.execute(
        "insert into raw.events (source, message_id, event_type, anonymous_id, occurred_at, consent_purposes, "
        "is_simulated) values ('web', 'still-so', 'page', %s, %s, %s, false)",
        (forgotten, NOW, newest["granted"]),
    )
    return f"anonymous_id:{forgotten}"


def test_who_withdraws_is_gone_from_all_that_asks_and_stays_in_what_does_not(
    house: Settings, manifest: Manifest
) -> None:
    gate = Gate(manifest)
    with database.connect(house) as connection:
        someone = connection.execute(
            "select subscriber_id from marts.fct_consents inner join features.ftr_subscriber__sequence "
            "using (subscriber_id) where is_permitted group by subscriber_id "
            "order by count(distinct purpose) desc, count(*) desc, subscriber_id limit 1"
        ).fetchone()
        assert someone is not None
        subscriber_id = str(someone["subscriber_id"])
        before = _counts(connection, manifest, subscriber_id)
        rows = [
            Record(purpose, ConsentRow("subscriber_id", subscriber_id, purpose, False, NOW, is_withdrawal=True))
            for purpose in PURPOSES
        ]
        load_rows(connection, "consents", CONSENT_RECORDS, rows, NOW)
        forgotten = _say_more(connection)
        of_forgotten = (
            "select to_jsonb(kept) - 'written_xid' as word from intermediate.int_consents_signalled as kept "
            "where speaker = %s order by consent_signal_id"
        )
        kept = connection.execute(of_forgotten, (forgotten,)).fetchall()
    _build(house)
    with database.connect(house) as connection:
        after = _counts(connection, manifest, subscriber_id)
        said = connection.execute(
            "select decision, count(*) as n from marts.fct_consent_ledger "
            "where subscriber_id = %s and recorded_at = %s group by decision",
            (subscriber_id, NOW),
        ).fetchall()
        # in the manifest of the first build the model is written as for a table that is not there yet
        anew = manifest["nodes"]["model.marquee.int_consents_signalled"]["compiled_code"]
        added = _signalled(connection, "intermediate.int_consents_signalled", forgotten)
        assert added == _signalled(connection, f"({anew}) as anew", forgotten)
        assert connection.execute(of_forgotten, (forgotten,)).fetchall() == kept != []
    asked = {name for name in before if gate.purpose_of(name) != "none"}
    assert {name for name in asked if before[name]} >= {
        "model.marquee.fct_interactions",
        "model.marquee.ftr_subscriber__sequence",
        "model.marquee.ftr_subscriber__activity",
        "model.marquee.ftr_subscriber__profile",
    }
    assert {name: after[name] for name in asked if after[name]} == {}
    assert {name for name in before if name not in asked and before[name] and not after[name]} == set()
    assert said == [{"decision": "withdrawn", "n": len(PURPOSES)}]
