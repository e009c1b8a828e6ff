"""The life of each subscription, simulated: trial, conversion, change of plan, renewals, cancellation, coming back.

In: `People`. Out: a history a person with an account, from which billing's extract, its invoices and the events that
clients send of them are written, so that they agree. All of it is simulated; nothing lies after the anchor.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ingestion.envelope.people import People, Person

PLAN_CENTS = {"free": 0, "basic": 799, "standard": 1199, "premium": 1599}

_DAY = 86_400
_PERIOD = 30 * _DAY
_TRIAL = 14 * _DAY
# shares of people on a paid plan
_TRIAL_SHARE = 0.6
_CHANGE_SHARE = 0.12
_WON_BACK_SHARE = 0.2
_UNBILLED_SHARE = 0.03

ChangeKind = Literal["started", "trial_started", "converted", "plan_changed", "renewed", "canceled", "resumed"]


@dataclass(frozen=True)
class Change:
    """One moment at which a subscription became another; `moment` is epoch seconds, `renews_at` 0 where it ends."""

    kind: ChangeKind
    moment: int
    plan: str
    status: str
    renews_at: int


@dataclass(frozen=True)
class Subscription:
    """One person's subscription; `person` is a place in `People.known`, `trial_ends_at` 0 where there was none."""

    person: int
    started_at: int
    trial_ends_at: int
    changes: list[Change]


def make_subscriptions(people: People, anchor: int, seed: int) -> list[Subscription]:
    """Nearly one a person: a few are not known to billing."""
    random = np.random.default_rng([seed, 5])
    return [
        _subscription(index, person, anchor, random)
        for index, person in enumerate(people.known)
        if random.random() >= _UNBILLED_SHARE
    ]


def _subscription(index: int, person: Person, anchor: int, random: np.random.Generator) -> Subscription:
    # sign-up lies in the past of everybody's first rating, which is at most the anchor
    started_at = min(person.created_at + 600, anchor)
    if person.plan == "free":
        return Subscription(index, started_at, 0, [Change("started", started_at, "free", "active", 0)])
    canceled_at = _cancellation(person, started_at, anchor, random)
    end = anchor if canceled_at is None else canceled_at
    has_trial = random.random() < _TRIAL_SHARE
    trial_ends_at = started_at + _TRIAL if has_trial else 0
    paid_from = trial_ends_at or started_at
    first_plan = "basic" if random.random() < _CHANGE_SHARE and person.plan != "basic" else person.plan
    kind: ChangeKind = "trial_started" if has_trial else "started"
    changes = [Change(kind, started_at, first_plan, "trialing" if has_trial else "active", paid_from or 0)]
    if has_trial and paid_from <= end:
        changes.append(Change("converted", paid_from, first_plan, "active", paid_from + _PERIOD))
    elif not has_trial:
        changes[0] = Change(kind, started_at, first_plan, "active", started_at + _PERIOD)
    changes += _paid_life(paid_from, end, first_plan, person.plan, random)
    if canceled_at is not None:
        changes.append(Change("canceled", canceled_at, changes[-1].plan, "canceled", 0))
        changes += _return(canceled_at, anchor, person.plan, random)
    return Subscription(index, started_at, trial_ends_at, changes)


def _cancellation(person: Person, started_at: int, anchor: int, random: np.random.Generator) -> int | None:
    """Who has long watched nothing is likely to have left, some time between then and now."""
    idle_days = (anchor - person.last_at) / _DAY
    if random.random() >= (0.45 if idle_days > 90 else 0.08):
        return None
    return max(started_at, int(person.last_at + random.uniform(0.1, 1) * (anchor - person.last_at)))


def _paid_life(paid_from: int, end: int, first_plan: str, last_plan: str, random: np.random.Generator) -> list[Change]:
    renewals = list(range(paid_from + _PERIOD, end + 1, _PERIOD))
    # a plan changes between two renewals; without a renewal yet, the first plan is the plan
    changes_at = int(random.integers(0, len(renewals))) if first_plan != last_plan and renewals else None
    changes = []
    plan = first_plan
    for number, moment in enumerate(renewals):
        if number == changes_at:
            plan = last_plan
            changes.append(Change("plan_changed", moment - 5 * _DAY, plan, "active", moment))
        changes.append(Change("renewed", moment, plan, "active", moment + _PERIOD))
    return changes


def _return(canceled_at: int, anchor: int, plan: str, random: np.random.Generator) -> list[Change]:
    moment = canceled_at + int(random.uniform(20, 90) * _DAY)
    if random.random() >= _WON_BACK_SHARE or moment > anchor:
        return []
    renewals = range(moment + _PERIOD, anchor + 1, _PERIOD)
    return [
        Change("resumed", moment, plan, "active", moment + _PERIOD),
        *(Change("renewed", renewal, plan, "active", renewal + _PERIOD) for renewal in renewals),
    ]
