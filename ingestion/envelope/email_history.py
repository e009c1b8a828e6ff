"""The email provider's past: a welcome and a weekly newsletter as SendGrid's event webhook reports them.

In: `People`. Out: JSON lines. Who opened lately and who did not is drawn first, so that some hundreds, not everyone,
have no open in the last 14 days. Format: SendGrid event webhook,
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

import json

import numpy as np

from ingestion.envelope.people import People, opaque_id, spell

_DAY = 86_400
_WEEKS = 8
_RECENT_OPENER_SHARE = 0.5


def email_lines(people: People, anchor: int, seed: int) -> list[str]:
    """Webhook events in the order of their timestamps, with redelivered and broken ones."""
    random = np.random.default_rng([seed, 8])
    events: list[dict[str, object]] = []
    for index, person in enumerate(people.known):
        if person.email and people.granted[index, 1]:
            events += _mailbox(person.email, person.created_at, people.revoked_at[index, 1], anchor, seed, random)
    events.sort(key=lambda event: (event["timestamp"], event["sg_event_id"]))
    lines = []
    for event in events:
        lines.append(json.dumps(event))
        # the webhook delivers at least once
        if random.random() < 0.01:
            lines.append(lines[-1])
    lines.append(
        json.dumps({"event": "open", "timestamp": "yesterday", "sg_event_id": "bad-1", "email": "x@example.com"})
    )
    lines.append(
        json.dumps({"event": "teleported", "timestamp": anchor, "sg_event_id": "bad-2", "email": "x@example.com"})
    )
    lines.append('[{"event": "open"')
    return lines


def _mailbox(
    email: str, created_at: int, revoked_at: float, anchor: int, seed: int, random: np.random.Generator
) -> list[dict[str, object]]:
    """What one address got and did: nothing more after a bounce, an unsubscribe or a complaint."""
    events: list[dict[str, object]] = []
    address = spell(email, random)
    is_recent_opener = random.random() < _RECENT_OPENER_SHARE
    # who has lost interest stopped opening between 15 days and eight weeks ago
    opens_until = anchor if is_recent_opener else anchor - random.uniform(15, 7 * _WEEKS) * _DAY
    open_rate = random.beta(4, 3)
    fate = str(random.choice(["fine", "bounce", "unsubscribe", "spamreport"], p=[0.955, 0.015, 0.026, 0.004]))
    sends = [("welcome", created_at + 900)] if created_at > anchor - 7 * _WEEKS * _DAY else []
    first_hour = int(random.uniform(0, 7 * _DAY))
    sends += [("weekly_picks", anchor - first_hour - week * 7 * _DAY) for week in reversed(range(_WEEKS))]
    fatal_send = int(random.integers(0, len(sends)))
    for number, (category, sent_at) in enumerate(sends):
        if sent_at < created_at or sent_at > revoked_at:
            continue
        message = opaque_id("msg", seed, email, category, sent_at)

        def report(event: str, timestamp: float, *, message: str = message, category: str = category) -> None:
            if timestamp <= anchor:
                events.append(_event(address, event, int(timestamp), message, category))

        report("processed", sent_at)
        if fate == "bounce" and number == fatal_send:
            report("bounce", sent_at + 5)
            break
        report("delivered", sent_at + 5)
        opened_at = sent_at + random.exponential(10 * 3_600) + 60
        # the newest newsletter is at most a week old: opening it is what makes a recent opener
        is_certain = is_recent_opener and number == len(sends) - 1
        if is_certain:
            opened_at = min(opened_at, anchor)
        if (is_certain or random.random() < open_rate) and opened_at <= opens_until:
            report("open", opened_at)
            if random.random() < 0.25:
                report("click", opened_at + 30)
        if fate in ("unsubscribe", "spamreport") and number == fatal_send:
            report(fate, sent_at + 3_600)
            break
    return events


def _event(email: str, event: str, timestamp: int, message: str, category: str) -> dict[str, object]:
    record: dict[str, object] = {
        "email": email,
        "event": event,
        "timestamp": timestamp,
        "sg_event_id": opaque_id("evt", message, event, timestamp),
        "sg_message_id": message,
        "category": [category],
        "is_simulated": True,
    }
    if event == "click":
        record["url"] = "https://marquee.example/"
    return record
