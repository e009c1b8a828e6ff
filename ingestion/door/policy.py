"""The door's policy: what happens without permission, how consent signals are read, what of the context is kept.

In: policy.yml, checked when it is read. Out: `DoorPolicy`.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ingestion.raw_tables import EVENTS
from ingestion.tracking_plan.definitions import Purpose
from ingestion.tracking_plan.located_yaml import read_located_yaml
from marquee.errors import MarqueeError

POLICY_FILE = Path(__file__).resolve().parent / "policy.yml"

# in the order in which they stand in raw.events.consent_purposes
PURPOSES: tuple[Purpose, ...] = ("advertising", "analytics", "email_marketing", "personalization")

# without them an event is none
_NEEDED_COLUMNS = {
    "message_id", "event_type", "event", "occurred_at", "received_at", "properties", "context", "is_simulated",
}  # fmt: skip


class DoorPolicyError(MarqueeError):
    """The policy is wrong; the message names file, line, field and remedy."""


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PurposePolicy(_Written):
    """What happens to an event that is collected for a purpose without permission for it."""

    refused: Literal["store_without", "drop"]
    unsaid: Literal["store", "store_without", "drop"]
    removes: tuple[str, ...] = ()

    @field_validator("removes")
    @classmethod
    def _is_removable(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            is_column = name in EVENTS.columns and name not in _NEEDED_COLUMNS
            if not is_column and not name.startswith(("properties.", "context.")):
                raise ValueError(f"{name!r} is neither a column that can be empty, nor properties.NAME or context.NAME")
        return names


class TcfRule(_Written):
    """The TCF purposes that must be permitted for one of ours."""

    consents: tuple[int, ...] = ()
    or_legitimate_interest: tuple[int, ...] = ()


class DoorPolicy(_Written):
    """See policy.yml, where each field is explained."""

    purposes: dict[Purpose, PurposePolicy]
    categories: dict[str, Purpose] = Field(default_factory=dict)
    tcf: dict[Purpose, TcfRule]
    opt_out_of_sale_refuses: tuple[Purpose, ...]
    ip: Literal["truncate", "drop"]
    user_agent: Literal["reduce", "drop"]
    context: dict[str, Literal[True] | tuple[str, ...]]
    addresses: tuple[str, ...] = ()

    @field_validator("purposes")
    @classmethod
    def _has_all(cls, purposes: dict[Purpose, PurposePolicy]) -> dict[Purpose, PurposePolicy]:
        if missing := [purpose for purpose in PURPOSES if purpose not in purposes]:
            raise ValueError(f"lacks {', '.join(missing)}")
        return purposes


def load_policy(path: Path = POLICY_FILE) -> DoorPolicy:
    """Read and check the policy.

    Raises:
        DoorPolicyError: it is wrong.
        UnreadableYamlError: it is no YAML.
    """
    file = read_located_yaml(path)
    try:
        return DoorPolicy.model_validate(file.value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DoorPolicyError(
            f"{path}:{file.line_of(first['loc'])}: {field}: {first['msg']}; see the comments of policy.yml as shipped"
        ) from error
