"""Survey answers: a CSV export, one row an answer."""

from pydantic import model_validator

from ingestion.raw_tables import SURVEY_ANSWERS
from ingestion.records import Key, OptionalKey, OptionalText, Record, SourceModel, SpelledMoment

TABLE = SURVEY_ANSWERS


class Answer(SourceModel):
    """A row of the survey tool's export; the respondent is known by account or by address."""

    user_id: OptionalKey = None
    email: OptionalKey = None
    question: Key
    answer: OptionalText = None
    answered_at: SpelledMoment
    is_simulated: bool = False

    @model_validator(mode="after")
    def _has_respondent(self) -> "Answer":
        if self.user_id is None and self.email is None:
            raise ValueError("has neither user_id nor email")
        return self

    def to_record(self) -> Record:
        return Record(
            f"{self.user_id or self.email}|{self.question}|{self.answered_at.isoformat()}",
            (self.email, self.user_id, self.question, self.answer, self.answered_at, None, self.is_simulated),
        )
