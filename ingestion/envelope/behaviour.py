"""What people do beside the real ratings: reading, listening, searching, saving, and visitors who never sign in.

In: `People`, `Catalogue`, `Sessions`. Out: `Action` rows, all simulated, at the moments of the real sessions. What a
person reads and hears follows the genres of the films the person really rated.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from ingestion.envelope.catalogue import Catalogue, Content
from ingestion.envelope.people import People, opaque_id, spell
from ingestion.envelope.records import SHARED_EMAIL
from ingestion.envelope.sessions import DEVICE_TYPES, KIOSK_DEVICE, Session, Sessions

_VISITOR_COUNT = 40


@dataclass(frozen=True)
class Action:
    """One simulated event before it is written in Segment's shape; `person` is -1 for a visitor nobody knows.

    `previous_id` is what an alias call says to be the same as `user_id`.
    """

    kind: str
    name: str | None
    person: int
    user_id: str | None
    anonymous_id: str
    device_id: str
    device_type: str
    moment: int
    properties: dict[str, object] = field(default_factory=dict)
    previous_id: str | None = None


@dataclass(frozen=True)
class Client:
    """A browser or app beside the devices of the sessions."""

    anonymous_id: str
    device_id: str
    person_id: str


@dataclass(frozen=True)
class Behaviour:
    """The simulated actions, and the clients made up for them."""

    actions: list[Action]
    clients: list[Client]

    def __add__(self, other: "Behaviour") -> "Behaviour":
        return Behaviour(self.actions + other.actions, self.clients + other.clients)


def simulate_behaviour(
    people: People, catalogue: Catalogue, sessions: Sessions, interactions: pd.DataFrame, anchor: int, seed: int
) -> Behaviour:
    """All simulated actions, none later than the anchor."""
    random = np.random.default_rng([seed, 10])
    actions = _session_starts(people, sessions)
    actions += _identify_calls(people, sessions, random)
    actions += _consumption(people, catalogue, sessions, interactions, anchor, random)
    actions += _searches_and_lists(people, catalogue, sessions, anchor, random)
    visits, visitors = _visitors(catalogue, sessions, anchor, seed, random)
    kiosk_actions, kiosk_clients = _kiosk(people, catalogue, anchor, seed, random)
    lost_actions, lost_clients = _cleared_cookies(people, sessions, seed, random)
    actions += _skips_and_second_thoughts(catalogue, people, sessions, anchor, random)
    return Behaviour(actions + visits + kiosk_actions + lost_actions, visitors + kiosk_clients + lost_clients)


def _in_session(
    people: People, session: Session, kind: str, name: str | None, moment: float, properties: dict[str, object]
) -> Action:
    return Action(
        kind,
        name,
        session.person,
        people.known[session.person].user_id if session.is_signed_in else None,
        session.anonymous_id,
        session.device_id,
        session.device_type,
        int(moment),
        properties,
    )


def _session_starts(people: People, sessions: Sessions) -> list[Action]:
    return [
        _in_session(
            people, session, "page" if session.device_type == "web" else "screen", "Home", session.started_at, {}
        )
        for session in sessions.rows()
    ]


def _identify_calls(people: People, sessions: Sessions, random: np.random.Generator) -> list[Action]:
    """One a person and device: at the first signed-in session, else at the end of the first anonymous one."""
    actions = []
    firsts: dict[tuple[int, str], Session] = {}
    for session in sorted(sessions.rows(), key=lambda session: (not session.is_signed_in, session.started_at)):
        firsts.setdefault((session.person, session.device_type), session)
    for session in firsts.values():
        person = session.person
        moment = session.started_at if session.is_signed_in else session.ended_at
        email = people.known[person].email
        traits: dict[str, object] = {}
        draw = random.random()
        if draw < 0.01:
            traits = {"email": SHARED_EMAIL}
        elif draw < 0.5 and email:
            traits = {"email": spell(email, random)}
        elif draw < 0.6 and people.known[person].phone:
            traits = {"phone": people.known[person].phone}
        actions.append(_in_session(people, replace(session, is_signed_in=True), "identify", None, moment, traits))
    return actions


def _consumption(
    people: People,
    catalogue: Catalogue,
    sessions: Sessions,
    interactions: pd.DataFrame,
    anchor: int,
    random: np.random.Generator,
) -> list[Action]:
    films = catalogue.of_type("video")
    genres = sorted({genre for content in catalogue.contents for genre in content.genres})
    person_of = sessions.table["person"].to_numpy()[sessions.session_of]
    film_of = ("ml-" + interactions["item_id"]).map({film.content_id: row for row, film in enumerate(films)})
    taste = np.zeros((len(people.known), len(genres)))  # (people, genres)
    np.add.at(taste, person_of, _genre_matrix(films, genres)[film_of.to_numpy()])
    taste /= np.maximum(taste.sum(axis=1, keepdims=True), 1)
    actions = []
    for content_type, name, per_session in (("article", "Article Read", 1.5), ("podcast", "Podcast Played", 0.9)):
        library = catalogue.of_type(content_type)
        vectors = _genre_matrix(library, genres)
        vectors /= np.maximum(vectors.sum(axis=1, keepdims=True), 1)
        weights = np.exp(6 * taste @ vectors.T) * (1 / np.arange(1, len(library) + 1) ** 0.4)  # (people, library)
        published = np.array([content.published_at for content in library])
        for session in _drawn(sessions, per_session, random):
            moment = _within(session, anchor, random)
            odds = weights[session.person] * (published <= moment)
            if odds.sum() == 0:
                continue
            chosen = int(random.choice(len(library), p=odds / odds.sum()))
            fraction = round(float(random.beta(3, 1.4)), 3)
            properties = {"content_id": library[chosen].content_id, "watched_fraction": fraction}
            actions.append(_in_session(people, session, "track", name, moment, properties))
    return actions


def _searches_and_lists(
    people: People, catalogue: Catalogue, sessions: Sessions, anchor: int, random: np.random.Generator
) -> list[Action]:
    films = catalogue.of_type("video")
    actions = []
    for session in _drawn(sessions, 1.0, random):
        film = int(random.integers(len(films)))
        query = films[film].title.lower().split(",")[0]
        properties = {"query": query, "result_count": int(random.integers(0, 30))}
        actions.append(
            _in_session(people, session, "track", "Content Searched", _within(session, anchor, random), properties)
        )
    for session in _drawn(sessions, 0.9, random):
        properties = {"content_id": films[int(random.integers(len(films)))].content_id}
        actions.append(
            _in_session(people, session, "track", "Content Added To List", _within(session, anchor, random), properties)
        )
    return actions


def _skips_and_second_thoughts(
    catalogue: Catalogue, people: People, sessions: Sessions, anchor: int, random: np.random.Generator
) -> list[Action]:
    """Negative signals: what was offered and skipped, and what was taken off the list again."""
    films = catalogue.of_type("video")
    actions = []
    for name, per_session in (("Content Skipped", 0.4), ("Content Removed From List", 0.1)):
        for session in _drawn(sessions, per_session, random):
            properties: dict[str, object] = {"content_id": films[int(random.integers(len(films)))].content_id}
            if name == "Content Skipped":
                properties["position"] = int(random.integers(0, 90))
            actions.append(_in_session(people, session, "track", name, _within(session, anchor, random), properties))
    return actions


def _visitors(
    catalogue: Catalogue, sessions: Sessions, anchor: int, seed: int, random: np.random.Generator
) -> tuple[list[Action], list[Client]]:
    """People who came by and never signed in."""
    articles = catalogue.of_type("article")
    first = int(sessions.table["started_at"].min())
    actions, clients = [], []
    for number in range(min(_VISITOR_COUNT, max(2, len(sessions.devices) // 20))):
        kind = str(random.choice(DEVICE_TYPES[:2]))
        anonymous_id, device_id = opaque_id("a", seed, "visitor", number), opaque_id("d", seed, "visitor", number)
        clients.append(Client(anonymous_id, device_id, f"visitor-{number:03d}"))
        for _ in range(int(random.integers(1, 4))):
            moment = int(random.uniform(first, anchor - 600))
            article = articles[int(random.integers(len(articles)))].content_id
            call = "page" if kind == "web" else "screen"
            who = (-1, None, anonymous_id, device_id, kind)
            read = {"content_id": article, "watched_fraction": round(float(random.beta(2, 2)), 3)}
            actions.append(Action(call, "Home", *who, moment))
            actions.append(Action("track", "Article Read", *who, moment + 120, read))
    return actions, clients


def _kiosk(
    people: People, catalogue: Catalogue, anchor: int, seed: int, random: np.random.Generator
) -> tuple[list[Action], list[Client]]:
    """A device in a lobby on which many sign in: sharing it says nothing about who they are."""
    films = catalogue.of_type("video")
    actions, clients = [], []
    guests = random.choice(len(people.known), min(40, len(people.known) // 4), replace=False)
    for person in guests.tolist():
        user_id = people.known[person].user_id
        moment = int(random.uniform(people.known[person].created_at, anchor - 120))
        anonymous_id = opaque_id("a", seed, "kiosk", user_id)
        clients.append(Client(anonymous_id, KIOSK_DEVICE, user_id))
        who = (person, user_id, anonymous_id, KIOSK_DEVICE, "web")
        query = {"query": films[int(random.integers(len(films)))].title.lower(), "result_count": 5}
        actions.append(Action("page", "Kiosk", *who, moment))
        actions.append(Action("track", "Content Searched", *who, moment + 60, query))
    return actions, clients


def _cleared_cookies(
    people: People, sessions: Sessions, seed: int, random: np.random.Generator
) -> tuple[list[Action], list[Client]]:
    """Visits of known people after they cleared their cookies: nothing links them, and nothing should."""
    actions, clients = [], []
    for number, session in enumerate(_drawn(sessions, 0.03, random)):
        person = session.person
        anonymous_id, device_id = opaque_id("a", seed, "cleared", number), opaque_id("d", seed, "cleared", number)
        clients.append(Client(anonymous_id, device_id, people.known[person].user_id))
        actions.append(Action("page", "Home", person, None, anonymous_id, device_id, "web", session.started_at))
    return actions, clients


def _drawn(sessions: Sessions, per_session: float, random: np.random.Generator) -> list[Session]:
    """Sessions drawn with replacement, in time."""
    count = round(len(sessions.table) * per_session)
    rows = sessions.rows()
    return [rows[row] for row in np.sort(random.integers(0, len(rows), count))]


def _within(session: Session, anchor: int, random: np.random.Generator) -> int:
    start, end = session.started_at, session.ended_at
    return min(anchor, start + int(random.uniform(1, max(600, end - start))))


def _genre_matrix(contents: list[Content], genres: list[str]) -> np.ndarray:
    matrix = np.zeros((len(contents), len(genres)))
    for row, content in enumerate(contents):
        for genre in content.genres:
            matrix[row, genres.index(genre)] = 1.0
    return matrix
