"""What a content's words say of it, as numbers that need no list of all words: in training and for what is new.

Legend: N contents, T words kept of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from feature_repo.columns import Floats

# words share the places of a table: of few words few meet
WORD_COUNT = 2**14
_KEPT = 24


@dataclass(frozen=True, eq=False)
class WordWeights:
    """How much each word tells, by how few texts have it (tf-idf).

    Attributes:
        rarity: (WORD_COUNT,) by a word's number; numbers are hashes from 1, 0 is no word (Weinberger et al. 2009).
    """

    rarity: Floats

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """As `texts` use their words."""
        rarity = np.zeros(WORD_COUNT, dtype=np.float32)
        rarity[1:] = TfidfTransformer().fit(_counts(texts)).idf_
        return cls(rarity)

    def words_of(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], Floats]:
        """The words that tell each text from the others most, and their weights, which make up a unit vector.

        Without any text T is 0.  # N texts -> (N, T), (N, T)
        """
        counts = _counts(texts)
        width = min(_KEPT, int(np.diff(counts.indptr).max(initial=0)))
        words = np.zeros((len(texts), width), dtype=np.int64)
        weights = np.zeros((len(texts), width), dtype=np.float32)
        for row in range(len(texts)):
            there = counts.indices[counts.indptr[row] : counts.indptr[row + 1]] + 1
            best = there[np.argsort(-self.rarity[there], kind="stable")[:width]]
            words[row, : len(best)] = best
            weights[row, : len(best)] = self.rarity[best]
        return words, weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-9)


def _counts(texts: Sequence[str]) -> sparse.csr_matrix:
    """Which words each text has."""
    if not len(texts):
        # of none the vectorizer would look for the first in vain
        return sparse.csr_matrix((0, WORD_COUNT - 1), dtype=np.float64)
    hashed = HashingVectorizer(n_features=WORD_COUNT - 1, alternate_sign=False, norm=None, binary=True)
    return sparse.csr_matrix(hashed.transform(texts))
