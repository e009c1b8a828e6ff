"""A file of segments is read word by word, and what is wrong in it is named with line, place and remedy."""

from pathlib import Path

import pytest
import yaml

from ingestion.segments.conditions import AllOf, EventCondition, FieldCondition
from ingestion.segments.definitions import load_draft, load_segments
from ingestion.segments.faults import SegmentError
from ingestion.segments.fields import OPERATORS, read_fields
from ingestion.segments.rendering import render
from tests.ingestion.segments.declaring import declare, declared, group, segment
from tests.ingestion.segments.test_agreement import NOW

DRAMA = {"field": "genre_affinities", "category": "drama", "at_least": 0.3}


def _faults(folder: Path, segments: list[dict[str, object]], groups: list[dict[str, object]] | None = None) -> str:
    with pytest.raises(SegmentError) as raised:
        declared(folder, segments, groups)
    return str(raised.value)


def test_the_shipped_segments_are_well_declared() -> None:
    definitions = load_segments()
    assert len(definitions.live) > 30
    assert {"audience", "message", "analysis"} == {segment.kind for segment in definitions.live}
    assert any(segment.status == "draft" for segment in definitions.segments)


def test_every_column_of_the_profile_has_operators_or_names_a_person() -> None:
    fields = read_fields()
    assert len(fields) > 30
    assert {field.kind for field in fields.values()} == set(OPERATORS)


def test_conditions_become_a_tree(tmp_path: Path) -> None:
    found = {"did": "Article Read", "within_days": 7, "where": [{"property": "device_type", "is": "web"}]}
    (read,) = declared(tmp_path, [segment("drama", {"all": [DRAMA, found]})]).segments
    match read.condition:
        case AllOf((FieldCondition(field, "at_least", 0.3, "drama"), EventCondition("Article Read", "track", 1, 7))):
            assert field.name == "genre_affinities"
        case other:
            pytest.fail(f"read as {other}")


@pytest.mark.parametrize(
    ("conditions", "place", "problem", "remedy"),
    [
        ({"field": "plam", "is": "premium"}, "conditions.field", "'plam' is no field", "did you mean plan?"),
        ({"field": "plan", "equals": "premium"}, "conditions.equals", "equals is no operator", "take one of in, is"),
        ({"field": "plan", "is": False}, "conditions.is", "False is not text", "write text in quotes"),
        ({"field": "plan", "in": "premium"}, "conditions.in", "'premium' is no list", "write [first, second]"),
        ({"field": "plan", "is": "a", "is_not": "b"}, "conditions", "has 2 operators", "take one of"),
        ({"field": "plan", "is": "{{ env_var('X') }}"}, "conditions.is", "is not text", "write text"),
        ({"field": "tenure_days", "at_least": "9"}, "conditions.at_least", "'9' is not a number", "write a number"),
        ({"field": "tenure_days", "between": [1]}, "conditions.between", "[1] is no range", "[lowest, highest]"),
        ({"field": "renews_at", "within_days": 0}, "conditions.within_days", "0 is no whole number", "correct it"),
        ({"field": "genre_affinities", "at_least": 1}, "conditions.field", "needs a category", "category: …"),
        ({"field": "email", "is": "a@b.example"}, "conditions.field", "email names a person", "is_known"),
        ({"did": "Artikel Read", "within_days": 7}, "conditions.did", "no event 'Artikel Read'", "mean Article Read?"),
        ({"did": "Article Read"}, "conditions", "within_days is missing", "within_days: 7"),
        ({"did": "Article Read", "within_days": 7, "often": 3}, "conditions.often", "does not belong", "take one of"),
        ({"all": []}, "conditions.all", "[] is no list of conditions", "at least one"),
        ({"any": [DRAMA, {"not": 3}]}, "conditions.any.1.not", "3 is no condition", "write all: […]"),
        ({"sql": "true; drop table marts.dim_subscribers"}, "conditions", "is no one condition", "write one of"),
    ],
)  # fmt: skip
def test_a_wrong_condition_is_named_with_its_place_and_remedy(
    tmp_path: Path, conditions: object, place: str, problem: str, remedy: str
) -> None:
    found = _faults(tmp_path, [segment("wrong", conditions)])
    assert found.startswith(str(tmp_path / "segments.yml:"))
    assert f": segments.0.{place}: " in found
    assert problem in found
    assert remedy in found


def test_every_fault_of_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    wrong = segment("twice", {"field": "plam", "is": "premium"}, kind="ads", owner="nobody", extra=1)
    found = _faults(
        tmp_path,
        [segment("twice", DRAMA), segment("twice", DRAMA), wrong, segment("Bad Name", DRAMA), {"name": "bare"}],
    ).splitlines()
    lines = (tmp_path / "segments.yml").read_text().splitlines()
    assert len(found) == 11
    for fault in found:
        number = int(fault.removeprefix(f"{tmp_path / 'segments.yml'}:").split(":")[0])
        place = fault.split(": ")[1].split(".")[-1]
        assert place in lines[number - 1] or "is missing" in fault


def test_groups_and_priorities_must_fit(tmp_path: Path) -> None:
    groups = [group("journey")]
    twice = [segment(name, DRAMA, group="journey", priority=3) for name in ("one", "two")]
    assert "one has priority 3 in journey too; give each its own" in _faults(tmp_path, twice, groups)
    assert "did you mean journey?" in _faults(tmp_path, [segment("one", DRAMA, group="journy", priority=1)], groups)
    assert "has a group and no priority" in _faults(tmp_path, [segment("one", DRAMA, group="journey")], groups)
    assert "means nothing without a group" in _faults(tmp_path, [segment("one", DRAMA, priority=3)], groups)
    assert declared(tmp_path, twice, [group("journey", is_exclusive=False)]).live


def test_a_draft_has_a_file_of_its_own(tmp_path: Path) -> None:
    definitions = declared(tmp_path, [segment("one", DRAMA, group="journey", priority=3)], [group("journey")])
    draft = tmp_path / "draft.yml"
    draft.write_text(yaml.safe_dump(segment("two", DRAMA, group="journey", priority=4)))
    assert load_draft(draft, definitions).name == "two"
    draft.write_text(yaml.safe_dump(segment("two", {"field": "plam", "is": "x"}, group="journey", priority=3)))
    with pytest.raises(SegmentError, match=r"draft\.yml:\d+: conditions\.field: .*\n.*: priority: one has priority 3"):
        load_draft(draft, definitions)


def test_a_file_without_segments_says_where_they_go(tmp_path: Path) -> None:
    path = declare(tmp_path / "segments.yml", [])
    path.write_text("version: 2\nmodels: []\n")
    with pytest.raises(SegmentError, match="declares no segments; write them under models, config, meta, segments"):
        load_segments(path)


def test_the_compiler_refuses_what_the_reading_would_have_stopped(tmp_path: Path) -> None:
    definitions = declared(tmp_path, [segment("one", DRAMA)])
    for conditions in (
        {"field": "plan = 'x' or true", "is": "premium"},
        {"field": "plan", "is": {"sql": "true"}},
        {"field": "plan", "or true --": 1},
        {"did": "Article Read", "within_days": "7 days' or true"},
    ):
        unchecked = definitions.segments[0].model_copy(update={"conditions": conditions})
        with pytest.raises(SegmentError):
            render(definitions, [unchecked], NOW)
