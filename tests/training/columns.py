"""Small interactions and catalogues for the tests of training."""

import numpy as np

from training import towers
from training.dataset import UNKNOWN, Contents, Interactions
from training.histories import Histories
from training.towers import TwoTower

DAY = 86_400 * 10**9


def interactions(rows: list[tuple[int, int, int]], user_count: int | None = None) -> Interactions:
    """From (user, item, moment in days), ordered by time."""
    ordered = sorted(rows, key=lambda row: row[2])
    users, items, days = (np.array(column, dtype=np.int64) for column in zip(*ordered, strict=True))
    count = user_count or int(users.max()) + 1
    return Interactions(
        tuple(f"s{n}" for n in range(count)),
        users.astype(np.int32),
        items.astype(np.int32),
        days * DAY,
        np.full(len(users), np.nan, dtype=np.float32),
        np.zeros(len(users), dtype=np.int8),
        np.zeros((count, 1), dtype=np.int64),
        profile_size=1,
    )


def histories(sequences: list[np.ndarray], step: int = DAY) -> Histories:
    """One of each sequence of items, consumed `step` nanoseconds apart."""
    items = np.concatenate(sequences).astype(np.int32)
    places = np.concatenate([np.arange(len(sequence)) for sequence in sequences])
    bounds = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences])])
    unknown = np.zeros((len(sequences), 1), dtype=np.int64)
    completions, nowhere = np.full(len(items), np.nan, dtype=np.float32), np.zeros(len(items), dtype=np.int8)
    return Histories(items, places * step, completions, nowhere, bounds, unknown)


def contents(count: int, side_size: int = 4, seed: int = 1) -> Contents:
    """`count` contents with random side features, all real."""
    side = np.random.default_rng(seed).random((count + 1, side_size)).astype(np.float32)[1:]
    ids = tuple(f"c{n}" for n in range(1, count + 1))
    return Contents.of(ids, side, [""] * count, np.full(count, UNKNOWN), np.ones(count, dtype=bool))


def embed_subscribers(
    model: TwoTower, consumed: Histories, asked: np.ndarray, devices: np.ndarray | None = None
) -> np.ndarray:
    """Embedding of each of E subscribers at the moment of a request (nanoseconds), as lists are made.  # (E, D)"""
    tower = towers.served_tower(model, towers.embed_contents(model))
    devices = nowhere(len(consumed)) if devices is None else devices
    return towers.embedded(tower, consumed, asked, devices, model.config.sequence_length)


def nowhere(count: int) -> np.ndarray:
    """Requests on devices that nobody names.  # (E,)"""
    return np.zeros(count, dtype=np.int8)
