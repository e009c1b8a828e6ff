"""The file of the rules for lists: the one that is shipped holds, and a wrong one names field, value and remedy."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feature_repo.list_rules import NO_LIMIT, ListRules, ListRulesError, load_list_rules
from marquee.settings import Settings

SHIPPED = Settings.model_fields["list_rules_file"].default
_PIN = {"content_id": "c1", "place": 1, "surfaces": ["homepage"], "from": "2026-12-01T00:00:00Z",
        "until": "2026-12-08T00:00:00Z"}  # fmt: skip
_STARTS, _ENDS = datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 8, tzinfo=UTC)


def test_the_shipped_file_forbids_nothing_that_was_not_forbidden_without_it() -> None:
    rules = load_list_rules(SHIPPED)
    assert not rules.caps
    assert not rules.pins
    assert rules.consumed.given_up_returns_after_days is None
    assert rules.maturity.age_limit("under_25", ["children"], None) == NO_LIMIT
    assert 0 < rules.weights.diversity + rules.weights.calibration < 0.5


def test_an_empty_file_leaves_the_rankers_order(tmp_path: Path) -> None:
    path = tmp_path / "own.yml"
    path.write_text("")
    assert load_list_rules(path) == ListRules()
    assert ListRules().list_weights.diversity == ListRules().list_weights.calibration == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("weights: {diversity: 2}", r"weights\.diversity: .*less than or equal to 1, found 2"),
        ("weights: {diversity: 0.7, calibration: 0.7}", "0.7 and calibration 0.7 must add up to at most 1"),
        ("caps: [{content_type: film, at_most: 1, of_first: 3}]", r"caps\.0\.content_type: .*found 'film'"),
        ("caps: [{content_type: video, at_most: 1, of_first: 0}]", r"caps\.0\.of_first: .*found 0"),
        ("maturity: {ages: {G: 0}, segments: {children: PG}}", "children: 'PG' is none of the ratings in ages: G"),
        ("maturity: {ages: {g: 0}}", "write 'g' as 'G'"),
        ("consumed: {given_up_returns_after_days: 0}", r"consumed\.given_up_returns_after_days: .*found 0"),
        ("pins: [{content_id: c1, place: 1, surfaces: [], from: 2026-12-01T00:00:00Z, until: 2026-12-02T00:00:00Z}]",
         r"pins\.0\.surfaces"),
        ("pins: [{content_id: c1, place: 1, surfaces: [homepage], from: 2026-12-01 00:00:00, until: 2027-01-01}]",
         r"pins\.0\.from: .*timezone"),
        ("mood: good", r"mood: Extra inputs .* found 'good'"),
        ("pins: [", "is no YAML"),
    ],
)  # fmt: skip
def test_a_wrong_file_names_the_field_and_the_value(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "own.yml"
    path.write_text(text)
    with pytest.raises(ListRulesError, match=words) as refused:
        load_list_rules(path)
    assert str(path) in str(refused.value)
    assert "feature_repo/list_rules.yml" in str(refused.value)


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ListRulesError, match="MARQUEE_LIST_RULES_FILE"):
        load_list_rules(tmp_path / "nowhere.yml")


def test_a_pin_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="must be after"):
        ListRules.model_validate({"pins": [{**_PIN, "until": _PIN["from"]}]})


def test_two_pins_at_one_place_at_the_same_time_are_refused_and_one_after_the_other_are_not() -> None:
    other = {**_PIN, "content_id": "c2"}
    with pytest.raises(ValueError, match="c2 and c1 are both pinned at place 1"):
        ListRules.model_validate({"pins": [_PIN, other]})
    ListRules.model_validate(
        {"pins": [_PIN, {**other, "from": "2026-12-08T00:00:00Z", "until": "2026-12-09T00:00:00Z"}]}
    )
    ListRules.model_validate({"pins": [_PIN, {**other, "surfaces": ["email"]}]})


def test_a_pin_stands_from_its_first_moment_until_just_before_its_last() -> None:
    rules = ListRules.model_validate({"pins": [_PIN]})

    def there(now: datetime, surface: str = "homepage") -> int:
        return len(list(rules.pins_of(surface, now, ())))

    instant = timedelta(microseconds=1)
    assert [there(_STARTS - instant), there(_STARTS), there(_ENDS - instant), there(_ENDS)] == [0, 1, 1, 0]
    assert there(_STARTS, "email") == 0


def test_the_pin_of_a_segment_goes_before_everybodys_and_is_for_its_members_alone() -> None:
    rules = ListRules.model_validate({"pins": [_PIN, {**_PIN, "content_id": "c2", "segment": "trial"}]})
    assert [pin.content_id for pin in rules.pins_of("homepage", _STARTS, ("trial",))] == ["c2", "c1"]
    assert [pin.content_id for pin in rules.pins_of("homepage", _STARTS, ("other",))] == ["c1"]


def test_of_several_limits_the_lowest_counts() -> None:
    maturity = ListRules.model_validate(
        {"maturity": {"ages": {"G": 0, "PG": 8, "R": 17}, "age_bands": {"under_25": "R"}, "segments": {"kids": "PG"}}}
    ).maturity
    assert maturity.age_limit("25_34", (), None) == NO_LIMIT
    assert maturity.age_limit("under_25", (), None) == 17
    assert maturity.age_limit("under_25", ("kids",), None) == 8
    assert maturity.age_limit("25_34", ("kids",), maturity.age_of("g")) == 0
    with pytest.raises(ListRulesError, match="'FSK 16' is no known rating; use one of G, PG, R"):
        maturity.age_of("FSK 16")
