"""Consent records: a CSV export of the consent register, by identifier, purpose and region."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ingestion.raw_tables import CONSENT_RECORDS
from ingestion.records import Key, OptionalText, Record, SourceModel, SpelledMoment

TABLE = CONSENT_RECORDS

Purpose = Literal["personalization", "email_marketing", "advertising", "analytics"]


def _lowered(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


class ConsentRecord(SourceModel):
    """A row of the register; a newer row of the same identifier and purpose replaces an older one downstream."""

    identifier_kind: Literal["user_id", "email", "phone", "device_id", "anonymous_id", "crm_id", "subscriber_id"]
    identifier: Annotated[Key, AfterValidator(str.strip)]
    purpose: Annotated[Purpose, BeforeValidator(_lowered)]
    region: OptionalText = None
    status: Annotated[Literal["granted", "denied"], BeforeValidator(_lowered)] = Field()
    recorded_at: SpelledMoment
    is_simulated: bool = False

    def to_record(self) -> Record:
        return Record(
            f"{self.identifier_kind}|{self.identifier}|{self.purpose}|{self.recorded_at.isoformat()}",
            (
                self.identifier_kind,
                self.identifier,
                self.purpose,
                self.status == "granted",
                self.region,
                self.recorded_at,
                None,
                self.is_simulated,
            ),
        )
