"""CMS content: a JSON document of items, tags as editors wrote them."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ingestion.raw_tables import CMS_CONTENT
from ingestion.records import Key, OptionalMoment, OptionalText, Record, SourceModel, SpelledMoment, Text

TABLE = CMS_CONTENT

ContentType = Literal["video", "article", "podcast"]


def _as_list(value: object) -> object:
    if value is None:
        return []
    return [part for part in re.split(r"[|;,]", value) if part.strip()] if isinstance(value, str) else value


def _country(code: str) -> str:
    code = code.strip().upper()
    if not re.fullmatch("[A-Z]{2}", code):
        raise ValueError("is no country code of ISO 3166-1, two letters such as DE")
    return code


# none: everywhere
Countries = Annotated[list[Annotated[Text, AfterValidator(_country)]], BeforeValidator(_as_list)]


class Licensed(SourceModel):
    """When and where a content may be shown; what is not said has no limit."""

    available_from: OptionalMoment = None
    available_until: OptionalMoment = None
    licensed_countries: Countries = Field(default_factory=list)

    @model_validator(mode="after")
    def _ends_later(self) -> Self:
        if self.available_from and self.available_until and self.available_until <= self.available_from:
            raise ValueError(
                f"available_until {self.available_until.isoformat()} must be after available_from "
                f"{self.available_from.isoformat()}"
            )
        return self


class ContentItem(Licensed):
    """An item of the CMS's export."""

    content_id: Key = Field(alias="id")
    content_type: ContentType = Field(alias="type")
    title: Text = Field(min_length=1)
    tags: list[Text] = Field(default_factory=list)
    release_year: OptionalText = None
    duration_minutes: OptionalText = None
    maturity_rating: OptionalText = None
    published_at: OptionalMoment = None
    updated_at: SpelledMoment
    is_simulated: bool = False

    def to_record(self) -> Record:
        return Record(
            self.content_id,
            (
                self.content_id,
                self.content_type,
                self.title,
                self.tags,
                self.release_year,
                self.duration_minutes,
                self.maturity_rating,
                self.available_from,
                self.available_until,
                self.licensed_countries,
                self.published_at,
                self.updated_at,
                None,
                self.is_simulated,
            ),
        )
