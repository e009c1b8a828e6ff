"""The event stream: Segment calls as gzipped JSON lines.

https://segment.com/docs/connections/spec/common/
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from ingestion.raw_tables import EVENTS
from ingestion.records import Key, Moment, OptionalKey, OptionalText, Record, SourceModel, Text, json_text

TABLE = EVENTS


def _storable(values: dict[str, JsonValue]) -> dict[str, JsonValue]:
    json_text(values)
    return values


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, frozen=True)


class Device(_Part):
    """`context.device`."""

    id: OptionalKey = None
    type: OptionalText = None


class Consent(_Part):
    """`context.consent`: a purpose is granted, denied or not asked."""

    category_preferences: dict[Text, bool] = Field(default={}, alias="categoryPreferences")


class Context(_Part):
    """The part of `context` that is kept."""

    device: Device = Device()
    consent: Consent | None = None


class Properties(BaseModel):
    """The properties that have a column of their own; the others are kept as they came."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True, frozen=True)
    __pydantic_extra__: dict[str, JsonValue]

    content_id: OptionalKey = None
    watched_fraction: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    email: OptionalText = None
    is_simulated: bool = False

    def rest(self) -> dict[str, JsonValue]:
        """What has no column. The address is personal and has its own."""
        return self.__pydantic_extra__


StorableProperties = Annotated[Properties, AfterValidator(lambda value: (_storable(value.rest()), value)[1])]


class Call(SourceModel):
    """One Segment call. A page or screen call has its name in `name`, identify has traits in place of properties."""

    message_id: Key = Field(alias="messageId")
    type: Literal["track", "page", "screen", "identify", "alias", "group"]
    event: OptionalText = None
    name: OptionalText = None
    user_id: OptionalKey = Field(default=None, alias="userId")
    anonymous_id: OptionalKey = Field(default=None, alias="anonymousId")
    timestamp: Moment
    context: Context = Context()
    properties: StorableProperties | None = None
    traits: StorableProperties | None = None

    @model_validator(mode="after")
    def _has_somebody(self) -> "Call":
        if self.user_id is None and self.anonymous_id is None:
            raise ValueError("has neither userId nor anonymousId")
        if self.type == "track" and self.event is None:
            raise ValueError("is a track call without an event name")
        return self

    def to_record(self) -> Record:
        said = self.traits if self.type == "identify" else self.properties
        said = said or Properties()
        consent = self.context.consent
        purposes = (
            None if consent is None else sorted(k for k, granted in consent.category_preferences.items() if granted)
        )
        return Record(
            self.message_id,
            (
                self.message_id,
                self.type,
                self.event or self.name,
                self.user_id,
                self.anonymous_id,
                self.context.device.id,
                self.context.device.type,
                said.email,
                said.content_id,
                said.watched_fraction,
                json_text(said.rest()),
                self.timestamp,
                purposes,
                said.is_simulated,
            ),
        )
