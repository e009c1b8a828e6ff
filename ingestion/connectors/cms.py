"""CMS content: a JSON document of items, tags as editors wrote them."""

from typing import Literal

from pydantic import Field

from ingestion.raw_tables import CMS_CONTENT
from ingestion.records import Key, OptionalMoment, OptionalText, Record, SourceModel, SpelledMoment, Text

TABLE = CMS_CONTENT

ContentType = Literal["video", "article", "podcast"]


class ContentItem(SourceModel):
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
                self.published_at,
                self.updated_at,
                None,
                self.is_simulated,
            ),
        )
