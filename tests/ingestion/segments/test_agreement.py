"""SQL and Python read the same conditions the same way, whatever they ask and whatever profiles and events hold."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ingestion.segments.definitions import Definitions
from ingestion.segments.evaluation import Event, segments_of
from ingestion.segments.rendering import render
from marquee import database
from marquee.settings import Settings
from tests.ingestion.segments.declaring import declared, group, segment

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PURPOSES = ("advertising", "email_marketing", "personalization")
COLUMNS = {
    "plan": "text",
    "region": "text",
    "is_paying": "boolean",
    "interaction_count_28d": "bigint",
    "tenure_days": "integer",
    "purchase_intent": "double precision",
    "last_active_at": "timestamptz",
    "renews_at": "timestamptz",
    "disliked_genres": "text[]",
    "genre_affinities": "jsonb",
}

# quotes, backslashes, percent signs and SQL are values like others
WORDS = ("drama", "it's", "a\\'b", "%s", "null", "', true) --", "25_34", "true", "1", "Ä", "$1")
NUMBERS = (-1, 0, 1, 2, 3, 50, 0.1, 0.25, 0.30000000000000004, 1e-07, 10**12)
words, numbers, days = st.sampled_from(WORDS), st.sampled_from(NUMBERS), st.integers(1, 9)
# the edges of windows of whole days, and a step beside them
moments = st.builds(
    lambda count, step: NOW + timedelta(days=count, microseconds=step), st.integers(-10, 10), st.integers(-1, 1)
)
json_values = st.one_of(words, numbers, st.booleans(), st.none(), st.lists(numbers, max_size=2))


def _one_operator(**operators: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    return st.one_of(
        *(values.map(lambda value, name=name: {name: value}) for name, values in operators.items())  # type: ignore[misc]
    )


ranges = st.lists(numbers, min_size=2, max_size=2)
on_text = _one_operator(
    **{"is": words, "in": st.lists(words, min_size=1, max_size=3)},
    is_not=words, not_in=st.lists(words, min_size=1, max_size=3), is_set=st.booleans(),
)  # fmt: skip
on_boolean = _one_operator(**{"is": st.booleans()}, is_not=st.booleans(), is_set=st.booleans())
measures = {"at_least": numbers, "at_most": numbers, "between": ranges}
on_number = _one_operator(**{"is": numbers}, is_not=numbers, is_set=st.booleans(), **measures)
on_moment = _one_operator(within_days=days, older_than_days=days, due_within_days=days, is_set=st.booleans())
on_list = _one_operator(has=words, has_not=words)
scalars = st.one_of(words, numbers, st.booleans())
on_property = _one_operator(
    **{"is": scalars, "in": st.lists(scalars, min_size=1, max_size=3)},
    is_not=scalars, not_in=st.lists(scalars, min_size=1, max_size=3), **measures,
)  # fmt: skip


def _of(names: tuple[str, ...], key: str, asked: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[object]:
    return st.builds(lambda name, ask: {key: name, **ask}, st.sampled_from(names), asked)


tests_of_events = st.one_of(
    _of(("query", "position"), "property", on_property),
    _of(("device_type",), "property", on_text),
    _of(("watched_fraction",), "property", on_number),
)
event_conditions = st.builds(
    lambda word, event, count, window, where: {
        word: event, "at_least": count, "within_days": window, **({"where": where} if where else {}),
    },
    st.sampled_from(("did", "did_not")), st.sampled_from(("Content Searched", "Article Read")), st.integers(1, 3), days,
    st.lists(tests_of_events, max_size=2),
)  # fmt: skip
leaves = st.one_of(
    _of(("plan", "region"), "field", on_text),
    _of(("is_paying",), "field", on_boolean),
    _of(("interaction_count_28d", "tenure_days", "purchase_intent"), "field", on_number),
    _of(("last_active_at", "renews_at"), "field", on_moment),
    _of(("disliked_genres",), "field", on_list),
    st.builds(
        lambda word, ask: {"field": "genre_affinities", "category": word, **ask}, words, _one_operator(**measures)
    ),
    event_conditions,
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda below: {"all": below}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda below: {"any": below}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda below: {"not": below}, inner),
    ),
    max_leaves=6,
)

profiles = st.fixed_dictionaries({
    "plan": st.one_of(words, st.none()),
    "region": st.one_of(words, st.none()),
    "is_paying": st.one_of(st.booleans(), st.none()),
    "interaction_count_28d": st.one_of(st.integers(-1, 51), st.none()),
    "tenure_days": st.one_of(st.integers(-1, 51), st.none()),
    "purchase_intent": st.one_of(numbers.map(float), st.none()),
    "last_active_at": st.one_of(moments, st.none()),
    "renews_at": st.one_of(moments, st.none()),
    "disliked_genres": st.one_of(st.lists(st.one_of(words, st.none()), max_size=3), st.none()),
    "genre_affinities": st.one_of(st.dictionaries(words, numbers, max_size=3), st.none()),
    "permitted": st.sets(st.sampled_from(PURPOSES)),
})  # fmt: skip
events = st.builds(
    Event, st.sampled_from(("track", "page")), st.sampled_from(("Content Searched", "Article Read")), moments,
    st.one_of(words, st.none()), st.one_of(words, st.none()), st.one_of(numbers.map(float), st.none()),
    st.one_of(st.dictionaries(st.sampled_from(("query", "position")), json_values), st.just([1])),
)  # fmt: skip
people = st.lists(st.tuples(profiles, st.lists(events, max_size=6)), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def tables(make_database: object) -> Iterator[Connection[DictRow]]:
    """The tables that rendered conditions read."""
    with database.connect(Settings(database_url=make_database())) as connection:  # type: ignore[operator]
        columns = ", ".join(f"{name} {data_type}" for name, data_type in COLUMNS.items())
        connection.execute(f"create temp table people (subscriber_id text, {columns})".encode())
        connection.execute(
            "create temp table happened (subscriber_id text, event_type text, event text, occurred_at timestamptz, "
            "content_id text, device_type text, watched_fraction double precision, properties jsonb)"
        )
        connection.execute("create schema intermediate")
        connection.execute(
            "create table intermediate.int_consents_current (subscriber_id text, purpose text, is_permitted boolean)"
        )
        yield connection
        connection.rollback()


def _store(connection: Connection[DictRow], found: list[tuple[dict[str, object], list[Event]]]) -> None:
    connection.execute("truncate people, happened, intermediate.int_consents_current")
    with connection.cursor() as cursor:
        for number, (profile, _) in enumerate(found):
            row = [Jsonb(profile[name]) if name == "genre_affinities" and profile[name] is not None else profile[name]
                   for name in COLUMNS]  # fmt: skip
            cursor.execute(
                f"insert into people values ({', '.join(['%s'] * (len(row) + 1))})".encode(), [str(number), *row]
            )
        cursor.executemany(
            "insert into intermediate.int_consents_current values (%s, %s, %s)",
            [
                (str(number), purpose, purpose in profile["permitted"])  # type: ignore[operator]
                for number, (profile, _) in enumerate(found)
                for purpose in PURPOSES
            ],
        )
        cursor.executemany(
            "insert into happened values (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (str(number), one.event_type, one.event, one.occurred_at, one.content_id, one.device_type,
                 one.watched_fraction, Jsonb(one.properties))
                for number, (_, happened) in enumerate(found)
                for one in happened
            ],
        )  # fmt: skip


def _every_condition() -> list[dict[str, object]]:
    """Each operator of each kind of field and property, with each value: the edges that random trees seldom meet."""
    values = {"is": WORDS, "is_not": WORDS, "in": [[one] for one in WORDS], "not_in": [[one, "x"] for one in WORDS]}
    measured = {"at_least": NUMBERS, "at_most": NUMBERS, "between": [[low, 2] for low in NUMBERS]}
    counted = {"is": NUMBERS, "is_not": NUMBERS, **measured}
    timed = dict.fromkeys(("within_days", "older_than_days", "due_within_days"), (1, 2, 3))
    mixed = [*WORDS, *NUMBERS, True, False]
    of_json = {"is": mixed, "is_not": mixed, "in": [[one] for one in mixed], "not_in": [[one] for one in mixed]}
    asked: list[tuple[dict[str, object], dict[str, object]]] = [
        ({"field": "plan"}, {**values, "is_set": (True, False)}),
        ({"field": "is_paying"}, {"is": (True, False), "is_not": (True, False)}),
        ({"field": "tenure_days"}, counted),
        ({"field": "purchase_intent"}, counted),
        ({"field": "renews_at"}, {**timed, "is_set": (True, False)}),
        ({"field": "disliked_genres"}, {"has": WORDS, "has_not": WORDS}),
        ({"field": "genre_affinities", "category": "drama"}, measured),
    ]
    fields = [
        {**shape, word: value}
        for shape, words in asked
        for word, several in words.items()
        for value in several  # type: ignore[attr-defined]
    ]
    tests = [
        {"property": "query", word: value} for word, several in {**of_json, **measured}.items() for value in several
    ]
    tests += [{"property": "watched_fraction", word: value} for word, several in counted.items() for value in several]
    events = [{"did": "Article Read", "within_days": 9, "where": [test]} for test in tests]
    windows = [{word: "Article Read", "within_days": days} for word in ("did", "did_not") for days in (1, 2, 3)]
    return [*fields, *events, *windows]


def _every_profile() -> list[tuple[dict[str, object], list[Event]]]:
    edges = [NOW + timedelta(days=day, microseconds=step) for day in range(-3, 4) for step in (-1, 0, 1)]
    queries = [*WORDS, *NUMBERS, True, False, None, [1]]
    found = []
    for number in range(len(queries)):
        amount = NUMBERS[number % len(NUMBERS)] if number else None
        word = WORDS[number % len(WORDS)] if number else None
        moment = edges[number % len(edges)] if number else None
        profile = {
            **dict.fromkeys(COLUMNS), "plan": word, "is_paying": (None, True, False)[number % 3],
            "tenure_days": None if amount is None else min(int(amount), 100),
            "purchase_intent": None if amount is None else float(amount), "renews_at": moment,
            "disliked_genres": [word, None], "genre_affinities": {} if amount is None else {"drama": amount},
            "permitted": {"personalization"},
        }  # fmt: skip
        happened_at = edges[number % 10]
        fraction = None if amount is None else float(amount)
        event = Event("track", "Article Read", happened_at, None, None, fraction, {"query": queries[number]})
        found.append((profile, [event]))
    return found


def test_every_operator_reads_every_value_alike(tables: Connection[DictRow], tmp_path: Path) -> None:
    asked, found = _every_condition(), _every_profile()
    definitions = declared(tmp_path, [segment(f"s{number}", one) for number, one in enumerate(asked)])
    _store(tables, found)
    in_sql = _segments_in_sql(tables, definitions)
    for number, (profile, happened) in enumerate(found):
        inside = segments_of(definitions, definitions.live, profile, {"personalization"}, happened, NOW)
        different = inside ^ in_sql[str(number)]
        assert not different, (profile, happened, [asked[int(name.removeprefix("s"))] for name in different])
    answered = set().union(*in_sql.values())
    assert len(answered) > len(asked) * 0.8


def _segments_in_sql(connection: Connection[DictRow], definitions: Definitions) -> dict[str, set[str]]:
    rendered = render(definitions, definitions.live, NOW, "people", "happened")
    rows = connection.execute(
        f"with {rendered.sources} select profiles.subscriber_id, array_remove(array[{rendered.cases}]::text[], null) "
        "as segments from profiles cross join build left join event_counts using (subscriber_id)".encode()
    ).fetchall()
    return {row["subscriber_id"]: set(row["segments"]) for row in rows}


@given(
    asked=st.lists(
        st.tuples(trees, st.sampled_from(("audience", "message", "analysis")), st.sampled_from((None, "one", "any"))),
        min_size=1,
        max_size=6,
    ),
    found=people,
)
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_sql_and_python_put_everybody_into_the_same_segments(
    tables: Connection[DictRow],
    tmp_path_factory: pytest.TempPathFactory,
    asked: list[tuple[object, str, str | None]],
    found: list[tuple[dict[str, object], list[Event]]],
) -> None:
    definitions = declared(
        _folder(tmp_path_factory),
        [
            segment(f"s{number}", tree, kind=kind, **({"group": of, "priority": number} if of else {}))
            for number, (tree, kind, of) in enumerate(asked)
        ],
        [group("one"), group("any", is_exclusive=False)],
    )
    _store(tables, found)
    in_sql = _segments_in_sql(tables, definitions)
    in_python = {
        str(number): segments_of(definitions, definitions.live, profile, profile["permitted"], happened, NOW)  # type: ignore[arg-type]
        for number, (profile, happened) in enumerate(found)
    }
    assert in_sql == in_python
    for number, (profile, happened) in enumerate(found):
        _assert_exclusive(definitions, profile, happened, in_sql[str(number)])


def _assert_exclusive(definitions: object, profile: dict[str, object], happened: list[Event], inside: set[str]) -> None:
    """Of an exclusive group, only the highest priority of those that hold alone."""
    alone = [
        one
        for one in definitions.live  # type: ignore[attr-defined]
        if one.group == "one" and segments_of(definitions, [one], profile, profile["permitted"], happened, NOW)  # type: ignore[arg-type]
    ]
    wanted = {max(alone, key=lambda one: one.priority).name} if alone else set()
    assert {name for name in inside if definitions.find(name).group == "one"} == wanted  # type: ignore[attr-defined]


def _folder(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "agreement"
    folder.mkdir(exist_ok=True)
    return folder
