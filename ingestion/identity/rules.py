"""The rules of identity as their file declares them: dbt_project/models/intermediate/int_identifiers_resolved.yml.

In: the yml, which dbt reads too. Out: checked rules, put into force in the database; where nothing changed, nothing is
done.
"""

import json
from datetime import datetime
from pathlib import Path

import yaml
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from marquee.errors import MarqueeError
from marquee.settings import PROJECT_ROOT

RULES_FILE = PROJECT_ROOT / "dbt_project" / "models" / "intermediate" / "int_identifiers_resolved.yml"

_SPELLED_KINDS = {"email": "email_hash", "phone": "phone_hash"}


class RulesError(MarqueeError):
    """The file of the identity rules does not say what it must."""


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KindRule(_Rule):
    """How far a kind of identifier is believed: 1 first; `profile_limit` is how many of it one person may have."""

    priority: int = Field(ge=1, le=1_000)
    joins: bool = True
    profile_limit: int | None = Field(None, ge=1)


class LimitRule(_Rule):
    """An identifier that is linked with more than `at_most` others, new within `within_days`, joins nobody."""

    identifier: str
    counts: str
    at_most: int = Field(ge=1)
    within_days: int | None = Field(None, ge=1)
    household_at_most: int | None = Field(None, ge=2)


class BlockedRule(_Rule):
    """A value that identifies nobody; emails and phones as people write them."""

    kind: str
    value: str


class IdentityRules(_Rule):
    """All of them."""

    kinds: dict[str, KindRule]
    limits: tuple[LimitRule, ...]
    blocked: tuple[BlockedRule, ...]

    @model_validator(mode="after")
    def _kinds_are_declared(self) -> "IdentityRules":
        used = {limit.identifier for limit in self.limits} | {limit.counts for limit in self.limits}
        used |= {_SPELLED_KINDS.get(rule.kind, rule.kind) for rule in self.blocked}
        if unknown := used - set(self.kinds):
            raise ValueError(f"{sorted(unknown)} is no declared kind; the kinds are {sorted(self.kinds)}")
        return self


def read_rules(path: Path = RULES_FILE) -> dict[str, object]:
    """The rules as written, once they have been checked.

    Raises:
        RulesError: a rule is missing, misspelt or names an undeclared kind.
    """
    try:
        (model,) = (
            one for one in yaml.safe_load(path.read_text())["models"] if one["name"] == "int_identifiers_resolved"
        )
        rules: dict[str, object] = model["config"]["meta"]["identity_rules"]
        IdentityRules.model_validate(rules)
    except (ValidationError, KeyError, ValueError, yaml.YAMLError) as error:
        raise RulesError(f"{path}: config.meta.identity_rules of int_identifiers_resolved: {error}") from error
    return rules


def adopt_rules(connection: Connection[DictRow], now: datetime) -> bool:
    """Put the file's rules into force, inside the caller's transaction; True if they changed."""
    row = connection.execute(
        "select identity.adopt_rules(%s::jsonb, %s) as changed", (json.dumps(read_rules()), now)
    ).fetchone()
    assert row is not None
    return bool(row["changed"])
