"""A small stand-in for MovieLens, for tests and benchmarks of every room: no download, same shape.

In: how many users and items, a seed. Out: `MovieLens` frames in which the next item depends on the one before, so that
a sequence model can learn something and popularity alone cannot.
"""

import numpy as np
import pandas as pd

from ingestion.movielens import MovieLens

_GENRES = ("Action", "Comedy", "Drama", "Romance", "Sci-Fi", "Thriller", "Children's", "Horror")
_OCCUPATIONS = ("student", "educator", "engineer", "librarian", "other")
_FIRST_TIMESTAMP = 874_724_710
_DAYS = 200


def sample_interactions(user_count: int, item_count: int, seed: int = 7) -> MovieLens:
    """Frames of `user_count` users (8 to 40 ratings each) and `item_count` items.

    Four times in five a user goes on to one of the three items that follow the present one on a fixed ring, else to an
    item drawn by popularity; nobody rates an item twice.
    """
    random = np.random.default_rng(seed)
    popularity = 1.0 / np.arange(1, item_count + 1)
    popularity /= popularity.sum()
    ring = random.permutation(item_count)
    place = np.argsort(ring)
    rows: list[tuple[str, str, float, int]] = []
    for user in range(1, user_count + 1):
        length = int(random.integers(8, 41))
        moment = _FIRST_TIMESTAMP + int(random.integers(0, _DAYS * 86_400 * 9 // 10))
        current = int(random.choice(item_count, p=popularity))
        seen: set[int] = set()
        for _ in range(min(length, item_count)):
            if current in seen:
                break
            seen.add(current)
            rows.append((str(user), str(current + 1), float(random.integers(1, 6)), moment))
            # a third of the ratings share their second with the one before, as in MovieLens
            moment += 0 if random.random() < 0.33 else int(random.exponential(20_000))
            if random.random() < 0.8:
                current = int(ring[(place[current] + int(random.integers(1, 4))) % item_count])
            else:
                current = int(random.choice(item_count, p=popularity))
    return MovieLens(
        pd.DataFrame(rows, columns=["user_id", "item_id", "rating", "timestamp"]),
        _items(item_count, random),
        _users(user_count, random),
    )


def _items(item_count: int, random: np.random.Generator) -> pd.DataFrame:
    genres = [" ".join(sorted(random.choice(_GENRES, size=int(random.integers(1, 4)), replace=False)))
              for _ in range(item_count)]  # fmt: skip
    return pd.DataFrame(
        {
            "item_id": [str(number) for number in range(1, item_count + 1)],
            "title": [f"Sample film {number}" for number in range(1, item_count + 1)],
            "release_year": [str(year) for year in random.integers(1960, 1999, item_count)],
            "genres": genres,
        }
    )


def _users(user_count: int, random: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": [str(number) for number in range(1, user_count + 1)],
            "age": random.integers(15, 70, user_count),
            "gender": random.choice(["M", "F"], user_count),
            "occupation": random.choice(_OCCUPATIONS, user_count),
            "zip_code": [f"{code:05d}" for code in random.integers(10_000, 99_999, user_count)],
        }
    )
