"""The event stream's extract: Segment calls as gzipped JSON lines, a file a day of arrival, with the stream's faults.

In: real interactions, `Sessions`, `Behaviour`, `People`. Out: lines by day. Every rating is one real track call at its
own second; message ids of ratings count up in the order of the data set, which is how ties keep their order.
Format: https://segment.com/docs/connections/spec/common/
"""

import json
from collections import defaultdict
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from ingestion.envelope.behaviour import Action, Behaviour
from ingestion.envelope.people import PURPOSES, People
from ingestion.envelope.sessions import Sessions

COMPLETED_FROM = 0.9

_DAY = 86_400
# watched share by rating, lowest and highest: simulated, as MovieLens has none
_FRACTIONS = np.array([(0.05, 0.2), (0.15, 0.5), (0.4, 0.8), (0.7, 1.0), (0.95, 1.0)])
_LATE_SHARE = 0.01
_DUPLICATE_SHARE = 0.015
# what a person's consent is called in Segment's consent object, by what was granted
_CATEGORIES = [
    json.dumps({"categoryPreferences": {name: bool(code >> bit & 1) for bit, name in enumerate(PURPOSES)}})
    for code in range(2 ** len(PURPOSES))
]


def event_files(
    people: People, interactions: pd.DataFrame, sessions: Sessions, behaviour: Behaviour, anchor: int, seed: int
) -> dict[str, list[str]]:
    """Lines by file name (`2026-04-23.jsonl`), in the order of arrival."""
    random = np.random.default_rng([seed, 11])
    rating_lines = _rating_lines(people, interactions, sessions, random)
    action_lines = _action_lines(people, behaviour.actions, _advertising_ids(sessions), random)
    lines = rating_lines + action_lines
    moments = np.r_[interactions["timestamp"].to_numpy(), [action.moment for action in behaviour.actions]]
    arrivals = moments.astype("int64")
    is_late = random.random(len(lines)) < _LATE_SHARE
    delays = (random.uniform(0.2, 3.0, len(lines)) * _DAY).astype("int64")
    arrivals = np.where(is_late & (arrivals + delays <= anchor), arrivals + delays, arrivals)
    is_twice = random.random(len(lines)) < _DUPLICATE_SHARE
    files: dict[str, list[str]] = defaultdict(list)
    for row in np.argsort(arrivals, kind="stable").tolist():
        files[_file_name(arrivals[row])].append(lines[row])
        if is_twice[row]:
            files[_file_name(min(anchor, arrivals[row] + 3_600))].append(lines[row])
    files[_file_name(anchor)] += _broken_lines(anchor)
    return dict(files)


def _rating_lines(
    people: People, interactions: pd.DataFrame, sessions: Sessions, random: np.random.Generator
) -> list[str]:
    low, high = _FRACTIONS[interactions["rating"].clip(1, 5).round().astype(int).to_numpy() - 1].T
    fractions = np.round(low + (high - low) * random.random(len(interactions)), 3)
    table = sessions.table.iloc[sessions.session_of]
    persons = table["person"].to_numpy()
    moments = interactions["timestamp"].to_numpy()
    consents = _consent_codes(people, persons, moments)
    lines = []
    for number, (
        user,
        item,
        rating,
        moment,
        fraction,
        consent,
        signed_in,
        anonymous_id,
        device_id,
        device,
    ) in enumerate(
        zip(
            [people.known[person].user_id for person in persons.tolist()],
            interactions["item_id"].tolist(),
            interactions["rating"].tolist(),
            _iso_all(moments),
            fractions.tolist(),
            consents.tolist(),
            table["is_signed_in"].tolist(),
            table["anonymous_id"].tolist(),
            table["device_id"].tolist(),
            table["device_type"].tolist(),
            strict=True,
        )
    ):
        event = "Video Playback Completed" if fraction >= COMPLETED_FROM else "Video Playback Exited"
        user_id = f'"{user}"' if signed_in else "null"
        # written by hand: a hundred thousand calls of json.dumps would take longer than everything else here
        lines.append(
            f'{{"messageId": "rating-{number:07d}", "type": "track", "event": "{event}", "userId": {user_id}, '
            f'"anonymousId": "{anonymous_id}", "timestamp": "{moment}", '
            f'"context": {{"device": {{"id": "{device_id}", "type": "{device}"}}, "consent": {_CATEGORIES[consent]}}}, '
            f'"properties": {{"content_id": "ml-{item}", "watched_fraction": {fraction}, "rating": {rating:g}, '
            f'"is_simulated": false, "simulated_fields": ["watched_fraction", "device"]}}}}'
        )
    return lines


def _action_lines(
    people: People, actions: list[Action], advertising_ids: dict[str, str], random: np.random.Generator
) -> list[str]:
    persons = np.array([action.person for action in actions])
    moments = np.array([action.moment for action in actions])
    codes = _consent_codes(people, np.maximum(persons, 0), moments)
    # a visitor nobody knows answered the banner on the spot
    codes = np.where(persons < 0, random.integers(0, len(_CATEGORIES), len(actions)), codes)
    lines = []
    for number, (action, moment, code) in enumerate(zip(actions, _iso_all(moments), codes.tolist(), strict=True)):
        call: dict[str, object] = {"messageId": f"sim-{number:07d}", "type": action.kind}
        if action.name is not None:
            call["event" if action.kind == "track" else "name"] = action.name
        if action.previous_id is not None:
            call["previousId"] = action.previous_id
        device = {"id": action.device_id, "type": action.device_type}
        if advertising_id := advertising_ids.get(action.device_id):
            device["advertisingId"] = advertising_id
        call |= {
            "userId": action.user_id,
            "anonymousId": action.anonymous_id,
            "timestamp": moment,
            "context": {"device": device, "consent": json.loads(_CATEGORIES[code])},
            "traits" if action.kind == "identify" else "properties": {**action.properties, "is_simulated": True},
        }
        lines.append(json.dumps(call))
    return lines


def _advertising_ids(sessions: Sessions) -> dict[str, str]:
    return {device.device_id: device.advertising_id for device in sessions.devices if device.advertising_id}


def _consent_codes(people: People, persons: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """For each moment, which purposes were granted then, as a bit a purpose."""
    is_granted = people.granted[persons] & (moments[:, None] < people.revoked_at[persons])
    codes: np.ndarray = is_granted @ (1 << np.arange(len(PURPOSES)))
    return codes


def _broken_lines(anchor: int) -> list[str]:
    moment = _iso_all(np.array([anchor]))[0]
    play = {"type": "track", "event": "Video Playback Exited", "userId": "u-1", "anonymousId": "a-broken"}
    good = {**play, "messageId": "broken-1", "timestamp": moment}
    return [
        '{"messageId": "broken-0", "type": "tra',
        "not even JSON",
        json.dumps({**good, "properties": {"content_id": "ml-1", "watched_fraction": "most of it"}}),
        json.dumps({**good, "messageId": "broken-2", "properties": {"content_id": "ml-1", "watched_fraction": 17}}),
        json.dumps({**good, "messageId": "broken-3", "timestamp": "half past nine"}),
        json.dumps({key: value for key, value in good.items() if key != "messageId"}),
        json.dumps({key: value for key, value in good.items() if key != "timestamp"}),
        json.dumps({**good, "messageId": "broken-4", "type": "teleport"}),
        json.dumps({**good, "messageId": "broken-5", "userId": None, "anonymousId": None}),
        '["an array", "is no event"]',
    ]


def _iso_all(moments: np.ndarray) -> list[str]:
    texts: list[str] = np.datetime_as_string(moments.astype("datetime64[s]"), unit="s", timezone="UTC").tolist()
    return texts


def _file_name(epoch: int) -> str:
    return f"{datetime.fromtimestamp(int(epoch), UTC):%Y-%m-%d}.jsonl"
