"""Search by the index, held against every dot product: what it finds, what it must not, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.columns import Floats
from feature_repo.nearest import INDEXED_FROM, EmbeddingsError, Indices, Mask, Nearest

_ROWS = 20_000
_K = 50


def _everything(count: int) -> Mask:
    return np.ones(count, dtype=np.bool_)


def _truth(embeddings: Floats, query: Floats, allowed: Mask, k: int) -> Indices:
    products = np.where(allowed, embeddings @ query, -np.inf)
    return np.argsort(-products, kind="stable")[: min(k, int(allowed.sum()))]


@pytest.fixture(scope="module")
def topics() -> tuple[Floats, Floats]:
    """Embeddings in clusters, of lengths that differ, and ten queries near some of them."""
    chance = np.random.default_rng(1)
    centres = chance.normal(size=(40, 32))
    embeddings = centres[chance.integers(0, 40, _ROWS)] + 0.7 * chance.normal(size=(_ROWS, 32))
    embeddings *= chance.lognormal(0, 0.2, (_ROWS, 1))
    queries = embeddings[chance.integers(0, _ROWS, 10)] + 0.5 * chance.normal(size=(10, 32))
    return embeddings.astype(np.float32), queries.astype(np.float32)


@pytest.fixture(scope="module")
def indexed(topics: tuple[Floats, Floats]) -> Nearest:
    return Nearest.build(topics[0], indexed_from=0)


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(16, 400),
    size=st.integers(1, 12),
    k=st.integers(0, 60),
    share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    is_tied=st.booleans(),
    is_indexed=st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_what_is_found_is_allowed_complete_and_in_order(
    seed: int, count: int, size: int, k: int, share: float, is_tied: bool, is_indexed: bool
) -> None:
    chance = np.random.default_rng(seed)
    embeddings = chance.normal(size=(count, size)).astype(np.float32)
    if is_tied:
        embeddings = np.sign(embeddings)
    allowed = chance.random(count) < share
    query = chance.normal(size=size).astype(np.float32)
    nearest = Nearest.build(embeddings, indexed_from=0 if is_indexed else INDEXED_FROM)
    assert nearest.is_exact != is_indexed
    rows = nearest.search(query, allowed, k)
    products = nearest.products(query, rows)
    assert len(np.unique(rows)) == len(rows) == min(k, allowed.sum())
    assert allowed[rows].all()
    np.testing.assert_allclose(products, embeddings[rows] @ query, atol=1e-5)
    assert (np.diff(products) <= 1e-5).all()
    # a shortlist holds 30 of each that is wanted: where that is all there are, nothing can be missed
    if not is_indexed or 30 * k >= allowed.sum():
        np.testing.assert_allclose(products, (embeddings @ query)[_truth(embeddings, query, allowed, k)], atol=1e-5)


def test_the_index_misses_next_to_nothing(indexed: Nearest, topics: tuple[Floats, Floats]) -> None:
    assert not indexed.is_exact
    embeddings, queries = topics
    everything = _everything(_ROWS)
    found = [
        np.intersect1d(indexed.search(query, everything, _K), _truth(embeddings, query, everything, _K))
        for query in queries
    ]
    assert sum(map(len, found)) >= 0.98 * _K * len(queries)


@pytest.mark.parametrize("consumed", [100, 2_000, 10_000])
def test_what_was_consumed_may_crowd_around_the_query(
    indexed: Nearest, topics: tuple[Floats, Floats], consumed: int
) -> None:
    embeddings, queries = topics
    hits = 0
    for query in queries:
        allowed = _everything(_ROWS)
        allowed[_truth(embeddings, query, allowed, consumed)] = False
        rows = indexed.search(query, allowed, _K)
        assert allowed[rows].all()
        assert len(rows) == _K
        hits += len(np.intersect1d(rows, _truth(embeddings, query, allowed, _K)))
    assert hits >= 0.95 * _K * len(queries)


def test_where_little_may_be_shown_nothing_of_it_is_missed(indexed: Nearest, topics: tuple[Floats, Floats]) -> None:
    embeddings, queries = topics
    allowed = np.random.default_rng(2).random(_ROWS) < 0.01
    for query in queries:
        assert indexed.search(query, allowed, _K).tolist() == _truth(embeddings, query, allowed, _K).tolist()
        everything_allowed = indexed.search(query, allowed, _ROWS)
        assert np.sort(everything_allowed).tolist() == np.flatnonzero(allowed).tolist()


def test_a_few_embeddings_much_longer_than_all_others_leave_the_others_apart(topics: tuple[Floats, Floats]) -> None:
    embeddings, queries = topics[0].copy(), topics[1]
    embeddings[:3] *= 1_000
    nearest = Nearest.build(embeddings, indexed_from=0)
    allowed = _everything(_ROWS)
    allowed[:3] = False
    hits = [
        np.intersect1d(nearest.search(query, allowed, _K), _truth(embeddings, query, allowed, _K)) for query in queries
    ]
    assert sum(map(len, hits)) >= 0.95 * _K * len(queries)


def test_a_catalogue_without_any_direction_is_searched_too() -> None:
    nearest = Nearest.build(np.zeros((32, 4), dtype=np.float32), indexed_from=0)
    assert len(np.unique(nearest.search(np.ones(4, dtype=np.float32), _everything(32), 5))) == 5


def test_an_index_answers_alike_after_it_was_written_and_read(
    indexed: Nearest, topics: tuple[Floats, Floats], tmp_path: Path
) -> None:
    embeddings, queries = topics
    indexed.save(tmp_path / "index")
    read = Nearest.load(embeddings, tmp_path / "index")
    for query in queries:
        ours, theirs = (nearest.search(query, _everything(_ROWS), _K) for nearest in (read, indexed))
        assert ours.tolist() == theirs.tolist()


def test_what_is_added_later_is_found_like_the_others_and_the_index_before_stays_as_it_was(
    topics: tuple[Floats, Floats],
) -> None:
    embeddings, queries = topics
    older = Nearest.build(embeddings[: _ROWS // 2], indexed_from=0)
    everything = _everything(_ROWS)
    before = older.search(queries[0], everything[: _ROWS // 2], _K).tolist()
    for first in (older, Nearest(older.embeddings)):
        newer = first.with_more(embeddings[_ROWS // 2 :])
        assert newer.is_exact == first.is_exact
        hits = [
            np.intersect1d(newer.search(query, everything, _K), _truth(embeddings, query, everything, _K))
            for query in queries
        ]
        assert sum(map(len, hits)) >= 0.98 * _K * len(queries)
    assert older.search(queries[0], everything[: _ROWS // 2], _K).tolist() == before


def test_only_a_large_catalogue_has_an_index_to_write(tmp_path: Path) -> None:
    embeddings = np.random.default_rng(3).normal(size=(INDEXED_FROM, 2)).astype(np.float32)
    for count, is_exact in ((INDEXED_FROM - 1, True), (INDEXED_FROM, False)):
        nearest = Nearest.build(embeddings[:count])
        nearest.save(tmp_path / "index")
        assert nearest.is_exact == is_exact
        assert (tmp_path / "index").exists() != is_exact


def test_an_index_of_other_embeddings_or_no_index_is_refused(
    indexed: Nearest, topics: tuple[Floats, Floats], tmp_path: Path
) -> None:
    indexed.save(tmp_path / "index")
    with pytest.raises(EmbeddingsError, match=r"not an index of embeddings of shape \(7, 32\); train again"):
        Nearest.load(topics[0][:7], tmp_path / "index")
    (tmp_path / "index").write_bytes(b"no index")
    with pytest.raises(EmbeddingsError, match="not an index of this faiss"):
        Nearest.load(topics[0], tmp_path / "index")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("indexed_from", [0, INDEXED_FROM])
def test_a_value_that_is_no_number_is_refused(value: float, indexed_from: int) -> None:
    embeddings = np.ones((20, 3), dtype=np.float32)
    query = np.array([1, value, 1], dtype=np.float32)
    with pytest.raises(EmbeddingsError, match=r"shape \(3,\) .* all finite"):
        Nearest.build(embeddings, indexed_from).search(query, _everything(20), 2)
    embeddings[[4, 9], 1] = value
    with pytest.raises(EmbeddingsError, match="item 4 and of 1 more"):
        Nearest.build(embeddings, indexed_from)


def test_sizes_that_do_not_belong_together_are_refused(indexed: Nearest) -> None:
    with pytest.raises(EmbeddingsError, match=r"query of shape \(31,\)"):
        indexed.search(np.ones(31, dtype=np.float32), _everything(_ROWS), 2)
    with pytest.raises(EmbeddingsError, match=r"mask of shape \(5,\)"):
        indexed.search(np.ones(32, dtype=np.float32), _everything(5), 2)
    with pytest.raises(EmbeddingsError, match="at least 16 embeddings, not 15"):
        Nearest.build(np.ones((15, 2), dtype=np.float32), indexed_from=0)
