"""What a content's words say of it, as numbers that need no list of all words.

Legend: N contents, T words kept of each.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from training.histories import Floats, Ints

# words share the places of a table: of few words few meet
WORD_COUNT = 2**14
_KEPT = 24


def words_of(texts: Sequence[str]) -> tuple[Ints, Floats]:
    """The words that tell each text from the others most, and their weights, which make up a unit vector.

    Words are numbered by their hash from 1, 0 is no word (Weinberger et al. 2009), and weighted by how few texts have
    them (tf-idf). Without any text T is 0.  # N texts -> (N, T), (N, T)
    """
    counts = HashingVectorizer(n_features=WORD_COUNT - 1, alternate_sign=False, norm=None, binary=True).transform(texts)
    if not counts.nnz:
        return np.zeros((len(texts), 0), dtype=np.int64), np.zeros((len(texts), 0), dtype=np.float32)
    weighted = TfidfTransformer(norm=None).fit_transform(counts).tocsr()
    width = min(_KEPT, int(np.diff(weighted.indptr).max()))
    words = np.zeros((len(texts), width), dtype=np.int64)
    weights = np.zeros((len(texts), width), dtype=np.float32)
    for row in range(len(texts)):
        start, end = weighted.indptr[row : row + 2]
        best = start + np.argsort(-weighted.data[start:end], kind="stable")[:width]
        words[row, : len(best)] = weighted.indices[best] + 1
        weights[row, : len(best)] = weighted.data[best]
    return words, weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-9)
