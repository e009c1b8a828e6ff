"""Popularity, popularity of the week, likeness, item-kNN and EASE against their definitions."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from tests.training.columns import DAY, histories, interactions
from tests.training.columns import contents as contents_of
from training import baselines
from training.dataset import UNKNOWN, Contents, leave_last_out


def test_popularity_of_the_week_forgets_and_looks_back_from_each_cut() -> None:
    train = interactions([(0, 1, 0), (1, 1, 1), (2, 1, 2), (0, 2, 20), (1, 3, 40)])
    scores = baselines.popularity_before(train, 3, np.array([3, 21, 41]) * DAY)
    assert scores.argmax(axis=1).tolist() == [1, 2, 3]
    # what happens at the cut or later is not known
    assert baselines.popularity_before(train, 3, np.array([20 * DAY]))[0, 2] < 1


def test_item_knn_is_the_cosine_of_who_consumed_what() -> None:
    generator = np.random.default_rng(4)
    rows = [(int(u), int(i), n) for n, (u, i) in enumerate(generator.integers([0, 1], [9, 8], size=(60, 2)))]
    train = interactions(rows, user_count=9)
    seen = np.zeros((9, 8))
    seen[train.users, train.items] = 1
    norms = np.linalg.norm(seen, axis=0)
    expected = seen.T @ seen / np.maximum(np.outer(norms, norms), 1)
    np.fill_diagonal(expected, 0)
    found = baselines.neighbours(train, 7).toarray()
    assert found == pytest.approx(expected, abs=1e-6)


def test_of_all_that_was_consumed_each_content_counts_once_and_of_the_newest_each_time() -> None:
    similarity = baselines.neighbours(interactions([(0, 1, 0), (0, 2, 1), (1, 1, 0), (1, 3, 1)]), 3)
    repeated, once = histories([np.array([1, 1, 2])]), histories([np.array([1, 2])])
    expected = baselines.neighbour_scores(similarity, once)
    assert baselines.consumed_scores(similarity, repeated) == pytest.approx(expected)
    assert baselines.neighbour_scores(similarity, repeated)[0, 3] == pytest.approx(2 * expected[0, 3])


def test_only_the_nearest_neighbours_are_kept() -> None:
    generator = np.random.default_rng(4)
    rows = [(int(u), int(i), n) for n, (u, i) in enumerate(generator.integers([0, 1], [40, 31], size=(600, 2)))]
    everyone = baselines.neighbours(interactions(rows), 30, neighbour_count=30).toarray()
    nearest = baselines.neighbours(interactions(rows), 30, neighbour_count=5).toarray()
    fifth = np.sort(everyone, axis=1)[:, -5][:, None]
    # ties of the fifth place stay
    assert nearest == pytest.approx(np.where(everyone >= fifth, everyone, 0))
    assert (nearest > 0).sum() < (everyone > 0).sum() / 2


def test_taste_weights_are_the_ridge_regression_of_each_content_on_all_others() -> None:
    """EASE's closed form against scikit-learn's least squares, one content at a time."""
    generator = np.random.default_rng(4)
    rows = [(int(u), int(i), n) for n, (u, i) in enumerate(generator.integers([0, 1], [40, 9], size=(300, 2)))]
    train = interactions(rows, user_count=40)
    seen = np.zeros((40, 9))
    seen[train.users, train.items] = 1
    weights = baselines.taste_weights(train, 8).toarray()
    for item in range(1, 9):
        others = [other for other in range(1, 9) if other != item]
        ridge = Ridge(alpha=500.0, fit_intercept=False).fit(seen[:, others], seen[:, item])
        assert weights[others, item] == pytest.approx(ridge.coef_, abs=1e-6)
        assert weights[item, item] == 0.0


def test_only_the_weights_that_say_most_are_kept() -> None:
    generator = np.random.default_rng(4)
    rows = [(int(u), int(i), n) for n, (u, i) in enumerate(generator.integers([0, 1], [40, 31], size=(600, 2)))]
    everything = baselines.taste_weights(interactions(rows), 30).toarray()
    kept = baselines.taste_weights(interactions(rows), 30, kept_count=5).toarray()
    fifth = np.sort(np.abs(everything), axis=0)[-5]
    assert kept == pytest.approx(np.where(np.abs(everything) >= fifth, everything, 0))


def test_lists_hold_nothing_seen_and_nothing_closed() -> None:
    split = leave_last_out(interactions([(0, 1, 1), (0, 2, 2), (0, 5, 3), (1, 3, 1), (1, 4, 2)]))
    allowed = np.array([False, True, True, True, True, False, True, True])
    scores = np.arange(8, dtype=np.float32)
    lists = baselines.top_unseen(np.tile(scores, (2, 1)), split.histories(), allowed, k=3)
    assert lists.tolist() == [[7, 6, 4], [7, 6, 4]]


def test_a_list_ends_where_a_small_catalogue_does() -> None:
    split = leave_last_out(interactions([(0, 1, 1), (0, 2, 2), (0, 3, 3)]))
    lists = baselines.top_unseen(np.arange(5, dtype=np.float32), split.histories(), np.arange(5) > 0, k=4)
    assert lists.tolist() == [[4, 3, 0, 0]]


def test_what_may_be_shown_can_differ_from_one_to_the_next() -> None:
    split = leave_last_out(interactions([(0, 1, 1), (0, 2, 2), (1, 1, 1), (1, 3, 2)]))
    allowed = np.array([[False, True, True, True, True], [False, True, True, False, True]])
    lists = baselines.top_unseen(np.arange(5, dtype=np.float32), split.histories(), allowed, k=2)
    assert lists.tolist() == [[4, 3], [4, 2]]


def test_what_is_alike_by_tags_and_by_words_comes_first() -> None:
    side = np.array([[1, 0, 1], [1, 0, 1], [0, 1, 1], [0, 1, 1]], dtype=np.float32)
    texts = ["cat", "dog", "cat", "dog"]
    contents = Contents.of(("a", "b", "c", "d"), side, texts, np.full(4, UNKNOWN), np.ones(4, dtype=bool))
    scores = baselines.likeness_scores(baselines.likeness(contents), histories([np.array([1]), np.array([1, 4])]))
    # tags: 1, 1, 1/2, 1/2; words: 1, 0, 1, 0
    assert scores[0, 1:] == pytest.approx([2.0, 1.0, 1.5, 0.5])
    # somebody with both tags and both words is as far from each
    assert scores[1, 1:] == pytest.approx(np.full(4, scores[1, 1]))


def test_without_words_tags_alone_say_what_is_alike() -> None:
    scores = baselines.likeness_scores(baselines.likeness(contents_of(3)), histories([np.array([2])]))
    assert scores[0].argmax() == 2
    assert scores[0, 2] == pytest.approx(1.0)
