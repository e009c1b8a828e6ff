"""Consent records: a CSV export of the consent register, by identifier, purpose and region."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ingestion.raw_tables import CONSENT_RECORDS, ConsentRow
from ingestion.records import Key, OptionalText, Record, SourceModel, SpelledMoment

TABLE = CONSENT_RECORDS

Purpose = Literal["personalization", "email_marketing", "advertising", "analytics"]

_BASES: Mapping[str, str] = {
    "legitimate interest": "legitimate_interest",
    "legal obligation": "legal_obligation",
}


def _lowered(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _read_basis(value: object) -> object:
    if value is None or (isinstance(value, str) and not value.strip()):
        return "consent"
    lowered = _lowered(value)
    return _BASES.get(lowered, lowered) if isinstance(lowered, str) else value


LegalBasis = Annotated[
    Literal["consent", "legitimate_interest", "contract", "legal_obligation"], BeforeValidator(_read_basis)
]


class ConsentRecord(SourceModel):
    """A row of the register; a newer row of the same identifier and purpose replaces an older one downstream."""

    identifier_kind: Literal["user_id", "email", "phone", "device_id", "anonymous_id", "crm_id", "subscriber_id"]
    identifier: Annotated[Key, AfterValidator(str.strip)]
    purpose: Annotated[Purpose, BeforeValidator(_lowered)]
    region: OptionalText = None
    status: Annotated[Literal["granted", "denied", "withdrawn"], BeforeValidator(_lowered)] = Field()
    legal_basis: LegalBasis = "consent"
    text_version: OptionalText = None
    proof: OptionalText = None
    recorded_at: SpelledMoment
    is_simulated: bool = False

    def to_record(self) -> Record:
        return Record(
            f"{self.identifier_kind}|{self.identifier}|{self.purpose}|{self.recorded_at.isoformat()}",
            ConsentRow(
                self.identifier_kind,
                self.identifier,
                self.purpose,
                self.status == "granted",
                self.recorded_at,
                region=self.region,
                is_withdrawal=self.status == "withdrawn",
                legal_basis=self.legal_basis,
                text_version=self.text_version,
                proof=self.proof,
                is_simulated=self.is_simulated,
            ),
        )
