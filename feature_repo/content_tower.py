"""The content tower as far as a content speaks for itself: where its tags, its type and its words put it.

In: weights that training learnt. Out: the embedding of a content that came after the training, until the next one.

Legend: C contents, S side features, D embedding size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from feature_repo.columns import Floats
from feature_repo.content_text import WordWeights


@dataclass(frozen=True, eq=False)
class FeatureTower:
    """Embeddings by features alone.

    Attributes:
        side_map: (S, D)
        word_map: (WORD_COUNT, D); (0, D) where no text taught it.
    """

    side_map: Floats
    word_map: Floats
    word_weights: WordWeights

    def embed(self, side: Floats, texts: Sequence[str]) -> Floats:  # (C, S), C texts -> (C, D)
        """Where contents with these features stand."""
        embedded = side @ self.side_map
        if len(self.word_map):
            words, weights = self.word_weights.words_of(texts)
            embedded += np.einsum("ct,ctd->cd", weights, self.word_map[words])
        return embedded.astype(np.float32)

    def save(self, path: Path) -> None:
        np.savez(path, side_map=self.side_map, word_map=self.word_map, rarity=self.word_weights.rarity)

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["side_map"], arrays["word_map"], WordWeights(arrays["rarity"]))
