"""Words of contents as numbers, and what the towers learn from them about a content that nobody consumed."""

import numpy as np
import torch

from tests.training.columns import histories
from training import content_text, towers
from training.dataset import UNKNOWN, Contents
from training.histories import SECOND
from training.tower_fitting import Schedule, fit
from training.towers import TowerConfig, TwoTower


def test_a_rare_word_says_more_than_a_common_one() -> None:
    words, weights = content_text.words_of(["the cat", "the dog", "the", ""])
    assert words.shape == weights.shape == (4, 2)
    # best first: cat before the
    assert words[0, 1] == words[1, 1] == words[2, 0]
    assert words[0, 0] != words[1, 0]
    assert weights[0, 0] > weights[0, 1] > 0
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), [1, 1, 1, 0], rtol=1e-6)
    assert (words[3] == 0).all()


def test_the_same_word_has_the_same_number_in_every_catalogue() -> None:
    here, _ = content_text.words_of(["cat"])
    there, _ = content_text.words_of(["a dog", "Cat"])
    assert here[0, 0] == there[1, 0]


def test_without_words_there_are_no_columns() -> None:
    words, weights = content_text.words_of(["", ""])
    assert words.shape == weights.shape == (2, 0)


def test_a_new_content_is_found_by_whoever_reads_of_its_subject() -> None:
    """Two audiences, one of cats and one of dogs; items 11 and 12 are new, and say what they are about."""
    texts = ["cat"] * 5 + ["dog"] * 5 + ["cat", "dog"]
    count = len(texts)
    side = np.ones((count, 1), dtype=np.float32)
    contents = Contents.of(
        tuple(map(str, range(count))), side, texts, np.full(count, UNKNOWN), np.ones(count, dtype=bool)
    )
    generator = np.random.default_rng(1)
    people = [generator.permutation(5) + 1 + 5 * (person % 2) for person in range(60)]
    torch.manual_seed(0)
    model = TwoTower(contents, TowerConfig(embedding_size=16, sequence_length=8, block_count=1, batch_size=16))
    fit(model, histories(people), Schedule(10, 1e-2), seed=1)
    asked = np.full(2, 9 * 86_400 * SECOND)
    seen = histories([np.array([1, 2, 3]), np.array([6, 7, 8])])
    scores = towers.embed_subscribers(model, seen, asked) @ towers.embed_contents(model).T
    assert scores[0, 11] > scores[0, 12]
    assert scores[1, 12] > scores[1, 11]
