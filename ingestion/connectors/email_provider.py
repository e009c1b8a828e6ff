"""Email provider events: JSON lines as SendGrid's event webhook posts them.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from typing import Literal

from ingestion.raw_tables import EMAIL_PROVIDER_EVENTS
from ingestion.records import Key, Moment, OptionalKey, OptionalText, Record, SourceModel, Text

TABLE = EMAIL_PROVIDER_EVENTS

EventType = Literal[
    "processed",
    "deferred",
    "delivered",
    "dropped",
    "bounce",
    "blocked",
    "open",
    "click",
    "unsubscribe",
    "group_unsubscribe",
    "group_resubscribe",
    "spamreport",
]


class EmailEvent(SourceModel):
    """One webhook event; `category` is a text or a list of which the first is the campaign."""

    sg_event_id: Key
    sg_message_id: OptionalKey = None
    email: Key
    event: EventType
    timestamp: Moment
    category: Text | list[Text] | None = None
    url: OptionalText = None
    is_simulated: bool = False

    def to_record(self) -> Record:
        return Record(
            self.sg_event_id,
            (
                self.email,
                self.event,
                self.sg_message_id,
                self._campaign(),
                self.url,
                self.timestamp,
                None,
                self.is_simulated,
            ),
        )

    def _campaign(self) -> str | None:
        if isinstance(self.category, list):
            return self.category[0] if self.category else None
        return self.category
