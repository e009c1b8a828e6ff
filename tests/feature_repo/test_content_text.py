"""Words of contents as numbers."""

import numpy as np

from feature_repo.content_text import WordWeights


def words_of(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    return WordWeights.of(texts).words_of(texts)


def test_a_rare_word_says_more_than_a_common_one() -> None:
    words, weights = words_of(["the cat", "the dog", "the", ""])
    assert words.shape == weights.shape == (4, 2)
    # best first: cat before the
    assert words[0, 1] == words[1, 1] == words[2, 0]
    assert words[0, 0] != words[1, 0]
    assert weights[0, 0] > weights[0, 1] > 0
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), [1, 1, 1, 0], rtol=1e-6)
    assert (words[3] == 0).all()


def test_the_same_word_has_the_same_number_in_every_catalogue() -> None:
    here, _ = words_of(["cat"])
    there, _ = words_of(["a dog", "Cat"])
    assert here[0, 0] == there[1, 0]


def test_without_words_there_are_no_columns() -> None:
    words, weights = words_of(["", ""])
    assert words.shape == weights.shape == (2, 0)


def test_no_texts_have_no_words() -> None:
    words, weights = WordWeights.of(["the cat"]).words_of([])
    assert words.shape == weights.shape == (0, 0)


def test_a_text_of_later_is_read_as_those_of_before() -> None:
    weighing = WordWeights.of(["the cat", "the dog", "the"])
    known, _ = weighing.words_of(["the cat"])
    words, weights = weighing.words_of(["the cat", "a zebra"])
    assert words[0].tolist() == known[0].tolist()
    # a word that nobody used yet is as telling as any
    assert weights[1, 0] == 1.0
