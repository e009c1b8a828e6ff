"""What models say that nothing is fitted for: likeness and the week's popularity, in training and in requests alike.

In: features and words of contents, what was consumed. Out: a score of every content.

Legend: N contents, E subscribers, S side features, T words kept of each content.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import norm

from feature_repo.columns import Floats
from feature_repo.content_text import WORD_COUNT

# of a history, for likeness: tastes move on
NEWEST_ALIKE = 50


@dataclass(frozen=True, eq=False)
class Likeness:
    """How alike contents are by tags, type and words (Lops, de Gemmis and Semeraro 2011, content-based recommenders).

    Attributes:
        side: (N + 1, S) side features as unit vectors.
        words: (N + 1, WORD_COUNT) weighted words, unit vectors; None where no content has any.
        by_word: (WORD_COUNT, N + 1) the same, which a request has no time to turn.
    """

    side: Floats = field(repr=False)
    words: sparse.csr_matrix | None = field(repr=False)
    by_word: sparse.csr_matrix | None = field(repr=False)

    @classmethod
    def of(cls, side: Floats, words: NDArray[np.int64], weights: Floats) -> Self:
        """From side features, and words with their weights as `WordWeights` has them.

        # (N + 1, S), (N + 1, T), (N + 1, T)
        """
        if not words.shape[1]:
            return cls(_unit(side), None, None)
        rows = np.arange(len(words)).repeat(words.shape[1])
        found = sparse.csr_matrix((weights.ravel(), (rows, words.ravel())), (len(words), WORD_COUNT))
        return cls(_unit(side), found, found.T.tocsr())

    def scores(self, consumed: sparse.csr_matrix) -> Floats:
        """The sum of both cosines with the sum of what each consumed.  # (E, N + 1) counts -> (E, N + 1)"""
        scores: Floats = _unit(np.asarray(consumed @ self.side)) @ self.side.T
        if self.words is not None:
            said = consumed @ self.words
            said = sparse.diags(1.0 / np.maximum(norm(said, axis=1), 1e-9).astype(np.float32)) @ said
            scores += (said @ self.by_word).toarray()
        return scores.astype(np.float32)


def week_popularity(week_counts: Floats, counts: Floats) -> Floats:
    """How often each content was consumed in a week; ties go by how often ever.  # (..., N + 1), (N + 1,)"""
    scores: Floats = (week_counts + counts / (counts.sum() + 1)).astype(np.float32)
    return scores


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return unit
