"""What campaigns there are: declared in definitions/*.yml, checked here, and nowhere written in code.

In: the folder of YAML files. Out: frozen `Campaign`s, highest priority first. Every fault of a file is named with its
line, field, value and remedy. DAG files call this, so that it imports nothing heavy.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import yaml
from jinja2 import TemplateSyntaxError, meta
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from activation.channels.email.rendering import SUBJECT_NAMES, has_template, subject_environment
from marquee.errors import MarqueeError

DEFINITIONS_DIR = Path(__file__).resolve().parent / "definitions"
_SHOWN_VALUE = 60


class CampaignError(MarqueeError):
    """A campaign cannot run as it stands."""


class DefinitionError(CampaignError):
    """A definition file is wrong; the message has one line a fault."""


def _checked_subject(subject: str) -> str:
    try:
        tree = subject_environment().parse(subject)
    except TemplateSyntaxError as error:
        raise ValueError(f"is not a Jinja template: {error.message}") from error
    unknown = meta.find_undeclared_variables(tree) - SUBJECT_NAMES
    if unknown:
        raise ValueError(f"uses {', '.join(sorted(unknown))}, which a subject does not know")
    return subject


def _existing_template(template: str) -> str:
    if not has_template(template):
        raise ValueError("has no .html and .txt file of that name in activation/channels/email/templates")
    return template


class Cap(BaseModel):
    """At most `messages` messages of the campaign's category in any `days` days."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    messages: int = Field(ge=1, description="a whole number from 1")
    days: int = Field(ge=1, le=365, description="a number of days from 1 to 365")


class Campaign(BaseModel):
    """One campaign. The description of a field says what it takes: it is the remedy in error messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    campaign_id: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,62}$", description="lower case letters, digits and underscores, as in the marts"
    )
    name: str = Field(min_length=1, description="a name that people read")
    owner: str = Field(min_length=1, description="the team that answers for it")
    is_enabled: bool = Field(description="true or false")
    priority: int = Field(ge=0, le=100, description="a whole number from 0 to 100; the highest goes first")
    trigger: str = Field(
        min_length=1, description="words that say whom marts.fct_campaign_candidates names for this campaign, and when"
    )
    channel: Literal["email"] = Field(description="email")
    category: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="the group of campaigns whose caps count together")
    template: Annotated[str, AfterValidator(_existing_template)] = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="the name of a template without its ending"
    )
    subject: Annotated[str, AfterValidator(_checked_subject)] = Field(
        min_length=1, description=f"a Jinja template that uses only {', '.join(sorted(SUBJECT_NAMES))}"
    )
    recommendation_count: int = Field(ge=1, le=12, description="a whole number from 1 to 12")
    caps: tuple[Cap, ...] = Field(
        min_length=1, strict=False, description="a list of caps such as `- {messages: 1, days: 7}`"
    )
    holdout_share: float = Field(ge=0, le=0.5, description="a share from 0 to 0.5, such as 0.1")
    consent_purpose: Literal["email_marketing"] = Field(description="email_marketing")
    goal_event: Literal["open", "click", "consumption"] = Field(description="open, click or consumption")
    goal_days: int = Field(ge=1, le=90, description="a number of days from 1 to 90")


def load_campaigns(folder: Path = DEFINITIONS_DIR) -> list[Campaign]:
    """The campaigns that are switched on, highest priority first.

    Raises:
        DefinitionError: a file is wrong; the message names every fault of every file.
    """
    return [campaign for campaign in load_every_campaign(folder) if campaign.is_enabled]


def load_every_campaign(folder: Path = DEFINITIONS_DIR) -> list[Campaign]:
    """The same with those that are switched off."""
    campaigns: dict[str, Campaign] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("*.yml")):
        try:
            campaign = _read(path)
        except DefinitionError as error:
            problems.append(str(error))
            continue
        if campaign.campaign_id in campaigns:
            problems.append(f"{path}: campaign_id: {campaign.campaign_id!r} is declared twice; give each its own")
        campaigns[campaign.campaign_id] = campaign
    if problems:
        raise DefinitionError("\n".join(problems))
    return sorted(campaigns.values(), key=lambda campaign: (-campaign.priority, campaign.campaign_id))


def find_campaign(campaign_id: str, folder: Path = DEFINITIONS_DIR) -> Campaign:
    """The campaign of that id, whether switched on or not.

    Raises:
        CampaignError: there is none; the message lists those there are.
    """
    campaigns = {campaign.campaign_id: campaign for campaign in load_every_campaign(folder)}
    if campaign_id not in campaigns:
        raise CampaignError(f"there is no campaign {campaign_id!r} in {folder}; there are {', '.join(campaigns)}")
    return campaigns[campaign_id]


def _read(path: Path) -> Campaign:
    loader = yaml.SafeLoader(path.read_text())
    try:
        node = loader.get_single_node()
        values = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DefinitionError(f"{path}:{line}: this is not YAML: {error.problem}; mend the line") from error
    finally:
        loader.dispose()
    if not isinstance(node, yaml.MappingNode) or not isinstance(values, dict):
        raise DefinitionError(f"{path}:1: a definition is a list of `field: value` lines; write those")
    lines = dict(_lines(node))
    twice = list(_duplicates(node))
    if twice:
        raise DefinitionError("\n".join(f"{path}:{line}: {name}: stands twice; keep one" for name, line in twice))
    try:
        return Campaign.model_validate(values)
    except ValidationError as error:
        raise DefinitionError("\n".join(_problems(path, lines, error))) from error


def _lines(node: yaml.Node, path: tuple[int | str, ...] = ()) -> Iterator[tuple[tuple[int | str, ...], int]]:
    """The line on which each field stands."""
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, (*path, key.value))
            # a folded text begins a line below its name
            yield (*path, key.value), key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield from _lines(value, (*path, place))


def _duplicates(node: yaml.MappingNode) -> Iterator[tuple[str, int]]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            yield key.value, key.start_mark.line + 1
        seen.add(key.value)


def _problems(path: Path, lines: dict[tuple[int | str, ...], int], error: ValidationError) -> Iterator[str]:
    for one in error.errors():
        location = one["loc"]
        name = ".".join(str(part) for part in location)
        line = next(lines[location[:end]] for end in range(len(location), -1, -1) if location[:end] in lines)
        if one["type"] == "missing":
            yield f"{path}:{line}: {name}: is missing; add {_expected(location)}"
        elif one["type"] == "extra_forbidden":
            yield f"{path}:{line}: {name}: is no field of a campaign; remove it or mend its name"
        else:
            value = repr(one["input"])
            shown = value if len(value) <= _SHOWN_VALUE else f"{value[:_SHOWN_VALUE]}…"
            reason = one["msg"].removeprefix("Value error, ")
            yield f"{path}:{line}: {name}: {shown} is not allowed ({reason}); write {_expected(location)}"


def _expected(location: tuple[int | str, ...]) -> str:
    model: type[BaseModel] = Cap if len(location) > 1 and location[0] == "caps" else Campaign
    field = model.model_fields.get(str(location[-1])) or Campaign.model_fields.get(str(location[0]))
    return field.description or "another value" if field is not None else "another value"
