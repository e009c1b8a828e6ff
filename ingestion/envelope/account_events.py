"""What people do about their accounts, simulated: looking at plans, checkout, trial, subscription, cancellation, alias.

In: `People`, `Sessions`, the `Subscription` histories. Out: `Behaviour`: actions at the moments that billing also
tells of, what led to them, and what led to nothing. Renewals are not here: nobody does them.
"""

from dataclasses import replace

import numpy as np

from ingestion.envelope.behaviour import Action, Behaviour, Client
from ingestion.envelope.billing_records import currency_of
from ingestion.envelope.people import People, opaque_id
from ingestion.envelope.sessions import Device, Sessions
from ingestion.envelope.subscriptions import PLAN_CENTS, Change, Subscription

_DAY = 86_400
_ORDER = tuple(PLAN_CENTS)
# people on the free plan who look at the others, and subscribers who look at how to leave
_LOOKER_SHARE = 0.25
_ALIAS_SHARE = 0.08


def simulate_account_events(
    people: People, sessions: Sessions, subscriptions: list[Subscription], anchor: int, seed: int
) -> Behaviour:
    """All simulated actions, none later than the anchor, and the anonymous ids from before a sign-up."""
    random = np.random.default_rng([seed, 14])
    devices = _own_devices(sessions)
    actions: list[Action] = []
    for subscription in subscriptions:
        device = devices.get(subscription.person)
        if device is None:
            continue
        actions += _subscription_actions(people, subscription, device, random)
        actions += _idle_looks(people, subscription, device, anchor, random)
    aliases, clients = _aliases(people, devices, seed, random)
    actions += aliases + _aliases_of_two_users(people, devices, anchor)
    return Behaviour([action for action in actions if action.moment <= anchor], clients)


def _own_devices(sessions: Sessions) -> dict[int, Device]:
    """One device a person that no household shares."""
    own: dict[int, Device] = {}
    for device in sessions.devices:
        if device.device_type != "connected_tv":
            own.setdefault(device.person, device)
    return own


def _subscription_actions(
    people: People, subscription: Subscription, device: Device, random: np.random.Generator
) -> list[Action]:
    actions = []
    plan = "free"
    for change in subscription.changes:
        name = _event_name(change, plan)
        if name is not None:
            actions += _led_to(people, change, device, random)
            actions.append(_action(people, device, "track", name, change.moment, _properties(people, change, device)))
        plan = change.plan
    return actions


def _event_name(change: Change, plan: str) -> str | None:
    """The event that a client sends of a change, none where nobody acts."""
    if change.kind == "plan_changed":
        is_more = _ORDER.index(change.plan) > _ORDER.index(plan)
        return "Subscription Upgraded" if is_more else "Subscription Downgraded"
    names = {
        "trial_started": "Trial Started",
        "started": "Subscription Started",
        "converted": "Trial Converted",
        "canceled": "Subscription Cancelled",
        "resumed": "Subscription Resumed",
    }
    return names.get(change.kind)


def _led_to(people: People, change: Change, device: Device, random: np.random.Generator) -> list[Action]:
    """What somebody looked at before: plans and the checkout, or how to leave."""
    if change.kind == "canceled":
        return [_look(people, device, "Cancel Subscription", change.moment - int(random.uniform(60, 1_800)))]
    if PLAN_CENTS[change.plan] == 0 or change.kind in ("converted", "trial_started"):
        return []
    looks = [
        _look(people, device, "Plans", change.moment - int(random.uniform(0.01, 3) * _DAY))
        for _ in range(int(random.integers(1, 4)))
    ]
    checkout: dict[str, object] = {"plan": change.plan}
    started_at = change.moment - int(random.uniform(30, 600))
    return [*looks, _action(people, device, "track", "Checkout Started", started_at, checkout)]


def _idle_looks(
    people: People, subscription: Subscription, device: Device, anchor: int, random: np.random.Generator
) -> list[Action]:
    """Interest that came to nothing, at a moment at which the person was about."""
    if random.random() >= _LOOKER_SHARE:
        return []
    person = people.known[subscription.person]
    moment = int(random.uniform(person.first_at, min(anchor, person.last_at) + 1))
    if subscription.changes[-1].plan != "free":
        return [_look(people, device, "Cancel Subscription", moment)] if random.random() < 0.4 else []
    actions = [
        _action(people, device, "track", "Paywall Shown", moment, {"offer": "standard"}),
        _look(people, device, "Plans", moment + 40),
    ]
    if random.random() < 0.3:
        actions.append(_action(people, device, "track", "Checkout Started", moment + 200, {"plan": "standard"}))
    return actions


def _look(people: People, device: Device, page: str, moment: int) -> Action:
    return _action(people, device, "page" if device.device_type == "web" else "screen", page, moment, {})


def _action(
    people: People, device: Device, kind: str, name: str | None, moment: int, properties: dict[str, object]
) -> Action:
    return Action(
        kind,
        name,
        device.person,
        people.known[device.person].user_id,
        device.anonymous_id,
        device.device_id,
        device.device_type,
        moment,
        properties,
    )


def _properties(people: People, change: Change, device: Device) -> dict[str, object]:
    person = people.known[device.person]
    return {
        "billing_id": person.billing_id,
        "plan": change.plan,
        "amount": PLAN_CENTS[change.plan] / 100,
        "currency": currency_of(person),
        "period": "month",
    }


def _aliases(
    people: People, devices: dict[int, Device], seed: int, random: np.random.Generator
) -> tuple[list[Action], list[Client]]:
    """People who came by before they signed up: an alias call says that they are the same."""
    actions, clients = [], []
    for person, device in devices.items():
        if random.random() >= _ALIAS_SHARE:
            continue
        known = people.known[person]
        earlier = opaque_id("a", seed, known.user_id, "before")
        clients.append(Client(earlier, opaque_id("d", seed, known.user_id, "before"), known.user_id))
        visit = replace(
            _look(people, device, "Home", known.created_at - int(random.uniform(600, 5 * _DAY))),
            user_id=None,
            anonymous_id=earlier,
            device_id=clients[-1].device_id,
        )
        alias = _action(people, device, "alias", None, known.created_at, {})
        actions += [visit, replace(alias, previous_id=earlier)]
    return actions, clients


def _aliases_of_two_users(people: People, devices: dict[int, Device], anchor: int) -> list[Action]:
    """A mistake of a client: two people with accounts said to be one."""
    first, *others = devices
    if not others:
        return []
    alias = _action(people, devices[first], "alias", None, anchor - _DAY, {})
    return [replace(alias, previous_id=people.known[others[-1]].user_id)]
