"""Sessions and devices: who watched on what, signed in or not.

In: interactions on the demo's calendar, `People`. Out: `Sessions` (real ones, cut where 30 minutes pass without a
rating), and the devices with their owners, some of which a household shares. All devices and ids are simulated.
"""

import uuid
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ingestion.envelope.people import People, opaque_id
from ingestion.envelope.rows import rows_of

GAP_SECONDS = 1_800
KIOSK_DEVICE = "d-kiosk-0001"
DEVICE_TYPES = ("web", "mobile", "connected_tv")

_ANONYMOUS_SHARE = 0.15
_SHARED_TV_SHARE = 0.02
_ADVERTISING_ID_SHARE = 0.6


@dataclass(frozen=True)
class Session:
    """One session: person is a place in `People.known`, times are epoch seconds."""

    person: int
    started_at: int
    ended_at: int
    device_type: str
    device_id: str
    anonymous_id: str
    is_signed_in: bool


@dataclass(frozen=True)
class Device:
    """What one person watches on; the device_id of a household's is that of several people.

    `advertising_id` is empty where the device has none or its owner keeps it back.
    """

    person: int
    device_type: str
    device_id: str
    anonymous_id: str
    advertising_id: str


@dataclass(frozen=True)
class Sessions:
    """Real sessions and the devices they ran on.

    Attributes:
        table: a row a session: person (place in `People.known`), started_at, ended_at (epoch seconds), device_type,
            device_id, anonymous_id, is_signed_in. Row i is session i.
        session_of: for each interaction, in the order of the input, its session.
        devices: one a person and type of device that they watched on.
    """

    table: pd.DataFrame
    session_of: np.ndarray
    devices: list[Device]

    def rows(self) -> list[Session]:
        """The table as values."""
        return rows_of(self.table, Session)


def make_sessions(people: People, interactions: pd.DataFrame, seed: int) -> Sessions:
    """Cut each person's ratings into sessions and give each a device; one in seven is anonymous, and can be linked.

    An anonymous session runs on a device whose anonymous_id also appears in an identify call, and never on a shared
    television: every real interaction can be attributed.
    """
    random = np.random.default_rng([seed, 9])
    position = {known.user_id: index for index, known in enumerate(people.known)}
    person = ("u-" + interactions["user_id"]).map(position).to_numpy()
    moments = interactions["timestamp"].to_numpy()
    order = np.lexsort((np.arange(len(moments)), moments, person))
    is_new_person = np.r_[True, np.diff(person[order]) != 0]
    is_new = is_new_person | np.r_[True, np.diff(moments[order]) > GAP_SECONDS]
    session_of = np.empty(len(moments), dtype=np.int64)
    session_of[order] = np.cumsum(is_new) - 1
    starts = np.flatnonzero(is_new)
    ends = np.r_[starts[1:], len(order)] - 1
    table = pd.DataFrame(
        {
            "person": person[order][starts],
            "started_at": moments[order][starts],
            "ended_at": moments[order][ends],
        }
    )
    table["device_type"] = _device_types(table["person"].to_numpy(), len(people.known), random)
    devices = _devices(people, table, seed, random)
    table = table.merge(
        devices.drop(columns="advertising_id"), on=["person", "device_type"], how="left", validate="many_to_one"
    )
    is_anonymous = (random.random(len(table)) < _ANONYMOUS_SHARE) & ~table["is_shared"].to_numpy(dtype=bool)
    table["is_signed_in"] = ~is_anonymous
    return Sessions(table.drop(columns="is_shared"), session_of, rows_of(devices, Device))


def _device_types(person: np.ndarray, person_count: int, random: np.random.Generator) -> np.ndarray:
    """A habit a person, a draw a session."""
    habits = random.dirichlet([1.8, 1.2, 1.0], person_count).cumsum(axis=1)
    draws = random.random(len(person))[:, None]
    types: np.ndarray = np.array(DEVICE_TYPES)[np.minimum((draws > habits[person]).sum(axis=1), 2)]
    return types


def _devices(people: People, table: pd.DataFrame, seed: int, random: np.random.Generator) -> pd.DataFrame:
    devices = table[["person", "device_type"]].drop_duplicates().sort_values(["person", "device_type"])
    devices = devices.reset_index(drop=True)
    users = [people.known[person].user_id for person in devices["person"].tolist()]
    devices["device_id"] = [
        opaque_id("d", seed, user, kind) for user, kind in zip(users, devices["device_type"], strict=True)
    ]
    devices["anonymous_id"] = [
        opaque_id("a", seed, user, kind) for user, kind in zip(users, devices["device_type"], strict=True)
    ]
    devices["advertising_id"] = _advertising_ids(users, devices["device_type"].tolist(), seed)
    devices["is_shared"] = False
    televisions = random.permutation(np.flatnonzero(devices["device_type"] == "connected_tv"))
    shared_count = round(len(televisions) * _SHARED_TV_SHARE)
    taken = 0
    for _ in range(shared_count):
        size = int(random.integers(2, 6))
        household = televisions[taken : taken + size]
        taken += size
        if len(household) < 2:
            break
        devices.loc[household, "device_id"] = devices.loc[household[0], "device_id"]
        devices.loc[household, "is_shared"] = True
    return devices


def _advertising_ids(users: list[str], kinds: list[str], seed: int) -> list[str]:
    """IDFA or Google's: an id in UUID form on some of the phones."""
    random = np.random.default_rng([seed, 15])
    has_id = random.random(len(users)) < _ADVERTISING_ID_SHARE
    return [
        str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed}|{user}")) if kind == "mobile" and has else ""
        for user, kind, has in zip(users, kinds, has_id.tolist(), strict=True)
    ]
