"""Billing's extracts: every version of a subscription, and an invoice a paid period, some refunded, some failed.

In: `People` and the `Subscription` histories. Out: JSON lines with the system's faults. All of it is simulated, and
every line says so.
"""

import json

import numpy as np

from ingestion.envelope.people import People, Person, opaque_id, spell
from ingestion.envelope.records import iso
from ingestion.envelope.subscriptions import PLAN_CENTS, Change, Subscription

_DAY = 86_400
_PERIOD = 30 * _DAY
_FAILED_SHARE = 0.025
_REFUNDED_SHARE = 0.03
_PARTLY_REFUNDED_SHARE = 0.3


def subscription_lines(people: People, subscriptions: list[Subscription], anchor: int, seed: int) -> list[str]:
    """A line a version, a subscription's own in order, and a truncated line."""
    random = np.random.default_rng([seed, 12])
    lines = []
    for subscription in subscriptions:
        person = people.known[subscription.person]
        constant = {
            "id": person.billing_id,
            "user_id": person.user_id if random.random() < 0.9 or not person.email else None,
            "email": spell(person.email, random) or None,
            "currency": currency_of(person),
            "started_at": iso(subscription.started_at),
            "trial_ends_at": iso(subscription.trial_ends_at) if subscription.trial_ends_at else None,
            "is_simulated": True,
        }
        is_shouted = random.random() < 0.05
        lines += [
            json.dumps({**constant, **subscription_version(change, is_shouted=is_shouted)})
            for change in subscription.changes
        ]
    lines.append('{"id": "cus-truncated", "plan": "stand')
    lines.append(json.dumps({"id": None, "plan": "basic", "status": "active", "updated_at": iso(anchor)}))
    return lines


def subscription_version(change: Change, *, is_shouted: bool = False) -> dict[str, object]:
    """What a change says in billing's words."""
    return {
        "plan": change.plan.upper() if is_shouted else change.plan,
        "status": change.status,
        "amount": PLAN_CENTS[change.plan],
        "renews_at": iso(change.renews_at) if change.renews_at else None,
        "canceled_at": iso(change.moment) if change.kind == "canceled" else None,
        "updated_at": iso(change.moment),
    }


def invoice_lines(people: People, subscriptions: list[Subscription], anchor: int, seed: int) -> list[str]:
    """A line a version of an invoice: issued and paid, failed, or paid and later refunded."""
    random = np.random.default_rng([seed, 13])
    lines: list[str] = []
    for subscription in subscriptions:
        person = people.known[subscription.person]
        for change in subscription.changes:
            # a change of plan is charged with the next renewal
            if change.status == "active" and change.kind != "plan_changed" and PLAN_CENTS[change.plan]:
                lines += map(json.dumps, _invoice_versions(person, change, anchor, random))
    lines.append('{"id": "in-truncated", "status": "pa')
    lines.append(json.dumps({"id": "in-lost", "status": "vanished", "updated_at": iso(anchor)}))
    return lines


def currency_of(person: Person) -> str:
    """What a person pays in."""
    return "EUR" if person.region == "eu" else "USD"


def _invoice_versions(
    person: Person, change: Change, anchor: int, random: np.random.Generator
) -> list[dict[str, object]]:
    amount = PLAN_CENTS[change.plan]
    invoice: dict[str, object] = {
        "id": opaque_id("in", person.billing_id, change.moment),
        "subscription": person.billing_id,
        "amount": amount,
        "refunded": 0,
        "currency": currency_of(person),
        "period_starts_at": iso(change.moment),
        "period_ends_at": iso(change.moment + _PERIOD),
        "issued_at": iso(change.moment),
        "is_simulated": True,
    }
    fate = random.random()
    if fate < _FAILED_SHARE:
        return [{**invoice, "status": "failed", "updated_at": iso(change.moment)}]
    paid = {**invoice, "status": "paid", "paid_at": iso(change.moment), "updated_at": iso(change.moment)}
    refunded_at = change.moment + int(random.uniform(1, 12) * _DAY)
    if fate > _FAILED_SHARE + _REFUNDED_SHARE or refunded_at > anchor:
        return [paid]
    refunded = amount // 2 if random.random() < _PARTLY_REFUNDED_SHARE else amount
    return [
        paid,
        {
            **paid,
            "status": "refunded" if refunded == amount else "paid",
            "refunded": refunded,
            "refunded_at": iso(refunded_at),
            "updated_at": iso(refunded_at),
        },
    ]
