"""CRM contacts: a CSV export, one row a contact, dates in several spellings."""

from ingestion.raw_tables import CRM_CONTACTS
from ingestion.records import Key, OptionalKey, OptionalMoment, OptionalText, Record, SourceModel, SpelledMoment

TABLE = CRM_CONTACTS


class Contact(SourceModel):
    """A row of the CRM's export."""

    crm_id: Key
    user_id: OptionalKey = None
    email: OptionalText = None
    phone: OptionalText = None
    first_name: OptionalText = None
    last_name: OptionalText = None
    birth_year: OptionalText = None
    gender: OptionalText = None
    occupation: OptionalText = None
    postal_code: OptionalText = None
    country: OptionalText = None
    timezone: OptionalText = None
    created_at: OptionalMoment = None
    updated_at: SpelledMoment
    is_simulated: bool = False

    def to_record(self) -> Record:
        return Record(
            self.crm_id,
            (
                self.crm_id,
                self.user_id,
                self.email,
                self.phone,
                self.first_name,
                self.last_name,
                self.birth_year,
                self.gender,
                self.occupation,
                self.postal_code,
                self.country,
                self.timezone,
                self.created_at,
                self.updated_at,
                None,
                self.is_simulated,
            ),
        )
