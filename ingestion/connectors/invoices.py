"""Invoices of the billing system: JSON lines, one line a version of an invoice; a refund is a newer version.

Statuses and refunds are Stripe's: https://docs.stripe.com/api/invoices/object, https://docs.stripe.com/refunds
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ingestion.raw_tables import BILLING_INVOICES
from ingestion.records import Key, OptionalKey, OptionalMoment, OptionalText, Record, SourceModel, SpelledMoment

TABLE = BILLING_INVOICES

# `failed` is a payment that was refused and is not tried again, Stripe's `uncollectible`
InvoiceStatus = Literal["draft", "open", "paid", "failed", "uncollectible", "void", "refunded"]


def _lowered(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


class Invoice(SourceModel):
    """A line of the export; amounts are cents, `refunded` is how much of `amount` went back so far."""

    invoice_id: Key = Field(alias="id")
    billing_id: OptionalKey = Field(default=None, alias="subscription")
    status: Annotated[InvoiceStatus, BeforeValidator(_lowered)] = Field()
    amount: OptionalText = None
    refunded: OptionalText = None
    currency: OptionalText = None
    period_starts_at: OptionalMoment = None
    period_ends_at: OptionalMoment = None
    issued_at: OptionalMoment = None
    paid_at: OptionalMoment = None
    refunded_at: OptionalMoment = None
    deleted: bool = False
    updated_at: SpelledMoment
    is_simulated: bool = False

    def to_record(self) -> Record:
        return Record(
            self.invoice_id,
            (
                self.invoice_id,
                self.billing_id,
                self.status,
                self.amount,
                self.refunded,
                self.currency,
                self.period_starts_at,
                self.period_ends_at,
                self.issued_at,
                self.paid_at,
                self.refunded_at,
                self.deleted,
                self.updated_at,
                None,
                self.is_simulated,
            ),
        )
