"""Billing subscriptions: JSON lines, one line a version of a subscription."""

from pydantic import Field

from ingestion.raw_tables import BILLING_SUBSCRIPTIONS
from ingestion.records import Key, OptionalKey, OptionalMoment, OptionalText, Record, SourceModel, SpelledMoment

TABLE = BILLING_SUBSCRIPTIONS


class Subscription(SourceModel):
    """A line of the billing export; `amount` is a month's price in cents. One with `deleted` ends the record."""

    billing_id: Key = Field(alias="id")
    user_id: OptionalKey = None
    email: OptionalText = None
    plan: OptionalText = None
    status: OptionalText = None
    amount: OptionalText = None
    currency: OptionalText = None
    started_at: OptionalMoment = None
    renews_at: OptionalMoment = None
    canceled_at: OptionalMoment = None
    trial_ends_at: OptionalMoment = None
    deleted: bool = False
    updated_at: SpelledMoment
    is_simulated: bool = False

    def to_record(self) -> Record:
        return Record(
            self.billing_id,
            (
                self.billing_id,
                self.user_id,
                self.email,
                self.plan,
                self.status,
                self.amount,
                self.currency,
                self.started_at,
                self.renews_at,
                self.canceled_at,
                self.trial_ends_at,
                self.deleted,
                self.updated_at,
                None,
                self.is_simulated,
            ),
        )
