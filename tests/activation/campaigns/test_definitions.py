"""Campaigns are declared in files, and a fault in one is named so that it can be mended without reading code."""

import subprocess
import sys
from pathlib import Path

import pytest

from activation.campaigns import definitions
from activation.campaigns.definitions import CampaignError, DefinitionError, load_campaigns, load_every_campaign

SHIPPED = (definitions.DEFINITIONS_DIR / "re_engagement.yml").read_text()


def declare(folder: Path, text: str, name: str = "one.yml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def line_of(text: str, start: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if line.startswith(start))


def test_the_shipped_campaigns_come_highest_priority_first() -> None:
    assert [campaign.campaign_id for campaign in load_campaigns()] == ["onboarding", "re_engagement"]


def test_a_campaign_that_is_switched_off_is_not_run(tmp_path: Path) -> None:
    declare(tmp_path, SHIPPED.replace("is_enabled: true", "is_enabled: false"))
    assert load_campaigns(tmp_path) == []
    assert [campaign.campaign_id for campaign in load_every_campaign(tmp_path)] == ["re_engagement"]


@pytest.mark.parametrize(
    ("change", "start", "said"),
    [
        (("holdout_share: 0.1", "holdout_share: 1.5"), "holdout_share", "holdout_share: 1.5 is not allowed"),
        (("priority: 20", "priority: soon"), "priority", "priority: 'soon' is not allowed"),
        (("  - {messages: 1, days: 7}", "  - {messages: 0, days: 7}"), "  - {messages: 0", "caps.0.messages: 0"),
        (("owner: marketing", "ownr: marketing"), "ownr", "ownr: is no field of a campaign"),
        (("is_enabled: true", "is_enabled: yes please"), "is_enabled", "write true or false"),
        (("template: re_engagement", "template: nowhere"), "template", "has no .html and .txt file"),
        (("consent_purpose: email_marketing", "consent_purpose: none"), "consent_purpose", "write email_marketing"),
        (("channel: email", "channel: pigeon"), "channel", "channel: 'pigeon' is not allowed"),
    ],
)
def test_a_fault_is_named_with_file_line_field_value_and_remedy(
    tmp_path: Path, change: tuple[str, str], start: str, said: str
) -> None:
    text = SHIPPED.replace(*change)
    assert text != SHIPPED
    path = declare(tmp_path, text)
    with pytest.raises(DefinitionError) as raised:
        load_campaigns(tmp_path)
    message = str(raised.value)
    assert f"{path}:{line_of(text, start)}: " in message
    assert said in message


def test_a_missing_field_is_named_with_what_it_takes(tmp_path: Path) -> None:
    path = declare(tmp_path, SHIPPED.replace("goal_days: 7\n", ""))
    with pytest.raises(DefinitionError, match=r"goal_days: is missing; add a number of days from 1 to 90") as raised:
        load_campaigns(tmp_path)
    assert str(path) in str(raised.value)


def test_a_subject_that_uses_what_is_not_known_is_refused(tmp_path: Path) -> None:
    declare(tmp_path, SHIPPED.replace("{% if first_name %}", "{% if surname %}"))
    with pytest.raises(DefinitionError, match=r"subject: .*uses surname, which a subject does not know"):
        load_campaigns(tmp_path)


def test_a_subject_that_does_not_parse_is_refused(tmp_path: Path) -> None:
    declare(tmp_path, SHIPPED.replace("{% endif %}{% if", "{% if", 1))
    with pytest.raises(DefinitionError, match=r"subject: .*is not a Jinja template"):
        load_campaigns(tmp_path)


def test_every_fault_of_every_file_is_named_at_once(tmp_path: Path) -> None:
    declare(tmp_path, SHIPPED.replace("priority: 20", "priority: 200").replace("goal_days: 7", "goal_days: 0"))
    declare(tmp_path, "a: [", "two.yml")
    with pytest.raises(DefinitionError) as raised:
        load_campaigns(tmp_path)
    message = str(raised.value)
    assert "priority: 200" in message
    assert "goal_days: 0" in message
    assert "two.yml:1: this is not YAML" in message


def test_a_field_that_stands_twice_is_refused(tmp_path: Path) -> None:
    text = SHIPPED + "priority: 90\n"
    path = declare(tmp_path, text)
    with pytest.raises(DefinitionError) as raised:
        load_campaigns(tmp_path)
    assert str(raised.value) == f"{path}:{len(text.splitlines())}: priority: stands twice; keep one"


@pytest.mark.parametrize("text", ["", "- a list\n", "just words\n"])
def test_a_file_that_is_no_definition_is_refused(tmp_path: Path, text: str) -> None:
    declare(tmp_path, text)
    with pytest.raises(DefinitionError, match="write those"):
        load_campaigns(tmp_path)


def test_two_files_cannot_declare_one_campaign(tmp_path: Path) -> None:
    declare(tmp_path, SHIPPED)
    declare(tmp_path, SHIPPED, "two.yml")
    with pytest.raises(DefinitionError, match="'re_engagement' is declared twice"):
        load_campaigns(tmp_path)


def test_an_unknown_campaign_is_named_beside_those_there_are() -> None:
    with pytest.raises(CampaignError, match=r"no campaign 'welcome'.*onboarding, re_engagement"):
        definitions.find_campaign("welcome")


def test_listing_campaigns_imports_neither_torch_nor_feast() -> None:
    """A DAG's list task does it, and a worker should not load a model for that."""
    code = (
        "import sys; from activation.campaigns import definitions; definitions.load_campaigns(); "
        "print(sorted({'torch', 'feast', 'pandas', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
