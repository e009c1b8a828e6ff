"""The contents nearest to a subscriber: maximum inner product over a catalogue's embeddings, among what is allowed.

In: embeddings; for each request a query and what is allowed. Out: the k of largest dot product, nearest first. Below
`INDEXED_FROM` contents every dot product is computed. From there on an index of codes is scanned whole, which reads an
eighth of the bytes or less, and only the dot products of its shortlist are computed: docs/decisions/0007.

The codes are a product quantizer's of 4 bits, whose tables stay in SIMD registers (André, Kermarrec and Le Scouarnec
2015, "Cache locality is not enough"; faiss calls it fast scan). They estimate the dot product itself, so that lengths
count as they should, and since every code is looked at, what is missed depends little on how the embeddings lie.

Legend: N contents, C further contents, D embedding size, K found.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import faiss
import numpy as np
from numpy.typing import NDArray

from feature_repo.columns import Floats
from marquee.errors import MarqueeError

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

# from here on every dot product takes several times as long as the codes: `marquee bench retrieval`
INDEXED_FROM = 100_000

# dot products computed for each content wanted, at least
_SHORTLIST = 30
# asked of the codes beyond the share that is not allowed: what was consumed crowds around the query
_MARGIN = 4 / 3
# twice as many, with their dot products, take as long as every dot product of a million
_MOST_ASKED = 1 << 15
_BITS = 4
# up to this size each dimension has a code of its own, beyond it two share one
_LARGEST_UNSHARED = 64
# what faiss uses for each centroid at most
_TRAINING_ROWS = 256 << _BITS
# longer embeddings, in medians, are trained on as if they were this long: one would take the codes' range for itself
_LONGEST = 3.0


class EmbeddingsError(MarqueeError):
    """Embeddings, a query or an index cannot be searched: a value is no number, or sizes differ."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """Search over one catalogue's embeddings, from any number of threads; exact where it has no codes."""

    embeddings: Floats = field(repr=False)  # (N, D)
    _codes: faiss.Index | None = field(default=None, repr=False)

    @classmethod
    def build(cls, embeddings: Floats, indexed_from: int = INDEXED_FROM) -> Self:
        """Ready to search `embeddings`, by an index from `indexed_from` contents on.  # (N, D)

        Raises:
            EmbeddingsError: an embedding holds a value that is no number, or there are too few to train an index on.
        """
        if len(broken := np.flatnonzero(~np.isfinite(embeddings).all(axis=1))):
            raise EmbeddingsError(
                f"the embedding of item {broken[0]} and of {len(broken) - 1} more holds a value that is not a finite "
                "number; train again, with a lower learning rate if it happens again"
            )
        if len(embeddings) < indexed_from:
            return cls(embeddings)
        if len(embeddings) < 1 << _BITS:
            raise EmbeddingsError(f"an index needs at least {1 << _BITS} embeddings, not {len(embeddings)}")
        size = embeddings.shape[1]
        code_count = size if size <= _LARGEST_UNSHARED or size % 2 else size // 2
        codes = faiss.IndexPQFastScan(size, code_count, _BITS, faiss.METRIC_INNER_PRODUCT)
        codes.train(_training_sample(embeddings))
        codes.add(embeddings)
        return cls(embeddings, codes)

    @classmethod
    def load(cls, embeddings: Floats, path: Path) -> Self:
        """Search `embeddings` by the index that `save` wrote of them.

        Raises:
            EmbeddingsError: the file is no such index, or one of other embeddings.
        """
        try:
            codes = faiss.read_index(str(path))
        except RuntimeError as error:
            raise EmbeddingsError(f"{path} is not an index of this faiss ({error}); train again") from error
        if not isinstance(codes, faiss.IndexPQFastScan) or (codes.ntotal, codes.d) != embeddings.shape:
            raise EmbeddingsError(f"{path} is not an index of embeddings of shape {embeddings.shape}; train again")
        return cls(embeddings, codes)

    def save(self, path: Path) -> None:
        """Write the index, where there is one; the embeddings are the caller's to keep."""
        if self._codes is not None:
            faiss.write_index(self._codes, str(path))

    def with_more(self, embeddings: Floats) -> Self:
        """The same, with further contents after the others; their codes are the ones learnt.  # (C, D)"""
        everything = np.concatenate([self.embeddings, embeddings])
        if self._codes is None:
            return type(self)(everything)
        codes = faiss.clone_index(self._codes)
        codes.add(embeddings)
        return type(self)(everything, codes)

    @property
    def is_exact(self) -> bool:
        """Whether every search computes every dot product."""
        return self._codes is None

    def search(self, query: Floats, allowed: Mask, k: int) -> Indices:
        """The `k` allowed contents of largest dot product, nearest first; all of them where fewer are allowed.

        With an index, one of the k may be missed, and the next stands in its place.  # (D,), (N,) -> (K,)

        Raises:
            EmbeddingsError: `query` or `allowed` has another size, or `query` holds a value that is no number.
        """
        count, size = self.embeddings.shape
        if query.shape != (size,) or allowed.shape != (count,) or not np.isfinite(query).all():
            raise EmbeddingsError(
                f"a query of shape {query.shape} and a mask of shape {allowed.shape} were given, expected ({size},), "
                f"all finite numbers, and ({count},); the query and the index are of different models, or it is broken"
            )
        allowed_count = int(np.count_nonzero(allowed))
        rows = self._shortlist(query, allowed, allowed_count, k)
        if rows is not None:
            return rows[_largest(self.products(query, rows), k)]
        products = self.embeddings @ query
        products[~allowed] = -np.inf
        return _largest(products, min(k, allowed_count))

    def products(self, query: Floats, rows: Indices) -> Floats:
        """Dot products of `query` and a few rows.  # (D,), (K,) -> (K,)"""
        # BLAS would split these few among threads, which on a busy machine wait for one another
        products: Floats = np.einsum("kd,d->k", self.embeddings[rows], query)
        return products

    def _shortlist(self, query: Floats, allowed: Mask, allowed_count: int, k: int) -> Indices | None:
        """Allowed rows with the best codes, enough to look for the nearest `k` in; None if codes do not narrow it."""
        wanted = min(_SHORTLIST * k, allowed_count)
        if self._codes is None or not wanted:
            return None
        asked = math.ceil(_MARGIN * wanted * len(allowed) / allowed_count)
        while asked <= _MOST_ASKED:
            _, (found,) = self._codes.search(query[np.newaxis], min(asked, len(allowed)))
            # of many with one code it leaves out some, and answers -1 in their place
            rows: Indices = found[allowed[found] & (found >= 0)]
            if len(rows) >= wanted:
                return rows
            asked *= 2
        return None


def _largest(products: Floats, k: int) -> Indices:
    """Places of the `k` largest, or of all, the largest first."""
    rest = max(len(products) - k, 0)
    # asked for nothing, there is no place to part at
    places = np.argpartition(products, rest)[rest:] if rest < len(products) else np.arange(0)
    order: Indices = places[np.lexsort((places, -products[places]))]
    return order


def _training_sample(embeddings: Floats) -> Floats:  # (N, D) -> (rows, D)
    """Rows to train the codes on, more of the long embeddings: a large dot product is mostly theirs.

    An even sample would spend the codes where nobody is near to any query: docs/decisions/0007 has the figures.
    """
    lengths = np.linalg.norm(embeddings, axis=1)
    longest = max(_LONGEST * float(np.median(lengths)), float(np.finfo(np.float32).tiny))
    # the floor leaves enough to draw from where most have no length
    weights = np.minimum(lengths / longest, 1).astype(np.float64) ** 8 + 1e-6
    count = min(_TRAINING_ROWS, len(embeddings))
    drawn = np.random.default_rng(0).choice(len(embeddings), count, replace=False, p=weights / weights.sum())
    sample: Floats = embeddings[drawn] / np.maximum(lengths[drawn, np.newaxis] / longest, 1)
    return sample
