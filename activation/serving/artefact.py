"""A trained model as serving sees it: a directory of files whose format docs/ARCHITECTURE.md fixes.

In: the directory that training wrote. Out: a verified, warmed-up `Artefact` that answers in numpy arrays.

Dimensions: B requests, L sequence length, D embedding size, K candidates, F ranker features, N contents.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy import sparse

from activation.serving.answers import History
from feature_repo.content_tower import FeatureTower
from feature_repo.nearest import Nearest
from feature_repo.profile_codes import PROFILES, ProfileCodes
from feature_repo.ranking_inputs import NAMES
from feature_repo.simple_models import Likeness
from feature_repo.tower_inputs import chosen, device_code, inputs_of
from marquee.errors import MarqueeError

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

_SERVED = (
    "content_ids.json",
    "content_embeddings.npy",
    "content_tower.npz",
    "user_tower.pt2",
    "ranker.pt2",
    "item_neighbours.npz",
    "taste_weights.npz",
    "fallback.json",
)
# only a large catalogue has one
_INDEX = "content_index.faiss"
# of which a version may have none
_OPTIONAL = (_INDEX, PROFILES)
# probabilities of a candidate: to be started, to be finished, to be followed by a return
_HEAD_COUNT = 3


class ArtefactError(MarqueeError):
    """A model directory is missing, incomplete or not what its manifest says."""


class Manifest(BaseModel):
    """The part of `manifest.json` that serving depends on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model_version: str
    sequence_length: int
    embedding_size: int
    ranker_features: tuple[str, ...]
    tower_inputs: tuple[str, ...] = ()
    candidate_count: int = Field(ge=1)
    files: dict[str, str]


class _Fallback(BaseModel):
    popular: tuple[str, ...]
    popular_7d: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What contents say for each other, as a sparse (N + 1, N + 1) matrix, row by row."""

    matrix: sparse.csr_matrix = field(repr=False)

    def widened(self, count: int) -> "Neighbours":
        """The same, and nothing of or for `count` further contents."""
        rows = np.pad(self.matrix.indptr, (0, count), mode="edge")
        size = self.matrix.shape[0] + count
        return Neighbours(sparse.csr_matrix((self.matrix.data, self.matrix.indices, rows), shape=(size, size)))

    def row(self, item: int) -> tuple[Indices, Floats]:
        """The items similar to `item`, and how similar each is."""
        start, end = self.matrix.indptr[item], self.matrix.indptr[item + 1]
        return self.matrix.indices[start:end].astype(np.int64), self.matrix.data[start:end].astype(np.float32)

    def similarity(self, item: int, others: Indices) -> Floats:  # others: (K,) -> (K,)
        """How similar `item` is to each of `others`; 0 where the matrix says nothing."""
        dense = np.zeros(self.matrix.shape[1], dtype=np.float32)
        columns, values = self.row(item)
        dense[columns] = values
        return dense[others]

    def total_similarity(self, items: Sequence[int], others: Indices) -> Floats:  # others: (K,) -> (K,)
        """The similarities of `items` to each of `others`, summed: item-kNN's score."""
        total = np.asarray(self.matrix[list(items)].sum(axis=0), dtype=np.float32).ravel()
        return total[others]


@dataclass(frozen=True, eq=False)
class Artefact:
    """One model version, ready to answer. Item 0 is padding; item i + 1 is `content_ids[i]`.

    Attributes:
        trained_count: how many contents the towers were trained on; those after them came later.
        _codes: of no property, of a version whose tower knows nothing of profiles.
    """

    manifest: Manifest
    content_ids: tuple[str, ...] = field(repr=False)
    nearest: Nearest = field(repr=False)  # over the embeddings, (N + 1, D)
    neighbours: Neighbours = field(repr=False)
    taste: Neighbours = field(repr=False)
    popular: tuple[str, ...] = field(repr=False)
    popular_7d: tuple[str, ...] = field(repr=False)
    item_of: dict[str, int] = field(repr=False)
    trained_count: int
    _content_tower: FeatureTower = field(repr=False)
    _inputs: tuple[str, ...] = field(repr=False)
    _codes: ProfileCodes = field(repr=False)
    _tower: Callable[..., torch.Tensor] = field(repr=False)
    _ranker: Callable[[torch.Tensor], torch.Tensor | tuple[torch.Tensor, torch.Tensor]] = field(repr=False)

    @property
    def model_version(self) -> str:
        return self.manifest.model_version

    @property
    def embeddings(self) -> Floats:
        """Of every item, that of padding all zero.  # (N + 1, D)"""
        return self.nearest.embeddings

    def with_contents(self, content_ids: Sequence[str], side: Floats, titles: Sequence[str]) -> "Artefact":
        """The same model, which knows `content_ids` too, by what they say of themselves.

        Args:
            side: (C, S) genres, then the type, as training has them.
        """
        names = (*self.content_ids, *content_ids)
        return replace(
            self,
            content_ids=names,
            nearest=self.nearest.with_more(self._content_tower.embed(side, titles)),
            neighbours=self.neighbours.widened(len(content_ids)),
            taste=self.taste.widened(len(content_ids)),
            item_of={content_id: row + 1 for row, content_id in enumerate(names)},
        )

    def likeness(self, side: Floats, titles: Sequence[str]) -> Likeness:
        """How alike all items are by what they say of themselves, words weighed as the training found them.

        Args:
            side: (N + 1, S) genres, then the type, as training has them.
            titles: N + 1, that of padding first.
        """
        return Likeness.of(side, *self._content_tower.word_weights.words_of(titles))

    def items(self, content_ids: Iterable[str]) -> list[int]:
        """Those of `content_ids` that the model knows, in their order."""
        return [self.item_of[name] for name in content_ids if name in self.item_of]

    def knows(self, history: History, profile: Mapping[str, str | None]) -> bool:
        """Whether there is anything of a subscriber that the tower can tell from anybody's."""
        if any(content_id in self.item_of for content_id in history.content_ids):
            return True
        return bool(self._codes.codes_of(profile).any())

    def subscriber_embedding(
        self, history: History, profile: Mapping[str, str | None], device: str | None, now: datetime
    ) -> Floats:  # -> (D,)
        """Where a subscriber with this history and profile, on this device, stands among the contents at `now`."""
        length = self.manifest.sequence_length
        rows = zip(history.content_ids, history.consumed_seconds, history.watched_fractions, strict=True)
        # what came after the training is nothing that the tower could have learnt from
        numbered = [(self.item_of.get(name, 0), second, share) for name, second, share in rows]
        known = [row for row in numbered if 0 < row[0] <= self.trained_count][-length:]
        # (1, L) each, to the right
        items, seconds = torch.zeros((1, length), dtype=torch.int64), torch.zeros((1, length), dtype=torch.int64)
        fractions = torch.full((1, length), torch.nan)
        if known:
            for row, values in zip((items, seconds, fractions), zip(*known, strict=True), strict=True):
                row[0, -len(known) :] = torch.tensor(values)
        inputs = {
            "items": items,
            "moments": seconds,
            "completions": fractions,
            "asked": torch.tensor([int(now.timestamp())]),
            "profiles": torch.from_numpy(self._codes.codes_of(profile)).unsqueeze(0),
            "devices": torch.tensor([device_code(device)]),
        }
        with torch.inference_mode():
            embedding: Floats = self._tower(*chosen(self._inputs, inputs)).numpy()[0]
        return embedding

    def rank(self, matrix: Floats) -> tuple[Floats, Floats]:  # (K, F) -> (K,), (K, 3)
        """A score of each candidate, higher is better, and its probabilities: to be started, finished, returned after.

        NaN stands for what this version does not foresee.
        """
        with torch.inference_mode():
            answer = self._ranker(torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float32)))
        # a version of before probabilities were foreseen has scores alone
        if isinstance(answer, torch.Tensor):
            return answer.numpy(), np.full((len(matrix), _HEAD_COUNT), np.nan, dtype=np.float32)
        scores, chances = answer
        return scores.numpy(), chances.numpy()


def load_artefact(directory: Path) -> Artefact:
    """Read, verify and warm up the model in `directory`.

    Raises:
        ArtefactError: a file is missing, differs from its checksum, or has another shape than the manifest says.
    """
    # answers stay quick beside other work on few cores: one thread has no partner to wait for
    torch.set_num_threads(1)
    manifest = _read_manifest(directory)
    _verify(directory, manifest)
    try:
        artefact = _read(directory, manifest)
        _check_shapes(directory, artefact)
    except ArtefactError:
        raise
    # a version that cannot be read must leave the one before it in service, whatever library stumbles over it
    except Exception as error:
        raise ArtefactError(f"{directory} cannot be read as a model ({error}); train again") from error
    return artefact


def _read(directory: Path, manifest: Manifest) -> Artefact:
    content_ids = tuple(json.loads((directory / "content_ids.json").read_text()))
    fallback = _Fallback.model_validate_json((directory / "fallback.json").read_text())
    return Artefact(
        manifest=manifest,
        content_ids=content_ids,
        nearest=_nearest(directory, manifest),
        neighbours=Neighbours(sparse.csr_matrix(sparse.load_npz(directory / "item_neighbours.npz"))),
        taste=Neighbours(sparse.csr_matrix(sparse.load_npz(directory / "taste_weights.npz"))),
        popular=fallback.popular,
        popular_7d=fallback.popular_7d,
        item_of={content_id: row + 1 for row, content_id in enumerate(content_ids)},
        trained_count=len(content_ids),
        _content_tower=FeatureTower.load(directory / "content_tower.npz"),
        _inputs=inputs_of(manifest.tower_inputs, manifest.files),
        _codes=ProfileCodes.of_artefact(directory, manifest.files),
        _tower=_program(directory / "user_tower.pt2"),
        _ranker=_program(directory / "ranker.pt2"),
    )


def _nearest(directory: Path, manifest: Manifest) -> Nearest:
    embeddings: Floats = np.load(directory / "content_embeddings.npy", allow_pickle=False)
    return Nearest.load(embeddings, directory / _INDEX) if _INDEX in manifest.files else Nearest(embeddings)


def _read_manifest(directory: Path) -> Manifest:
    path = directory / "manifest.json"
    try:
        return Manifest.model_validate_json(path.read_text())
    except OSError as error:
        raise ArtefactError(f"no model at {directory} ({error.strerror}); train one with `marquee run`") from error
    except ValidationError as error:
        raise ArtefactError(f"{path} is not a manifest of this version: {error}") from error


def _verify(directory: Path, manifest: Manifest) -> None:
    """Compare what a request reads with its checksums; evaluation files are training's and would only cost time."""
    if unknown := set(manifest.ranker_features) - set(NAMES):
        raise ArtefactError(
            f"the ranker of {directory} wants {sorted(unknown)}, which serving does not know; train again"
        )
    for name in (*_SERVED, *(name for name in _OPTIONAL if name in manifest.files)):
        path, expected = directory / name, manifest.files.get(name)
        if expected is None or not path.is_file():
            raise ArtefactError(f"{directory} lacks {name}, or its manifest does; restore it or train again")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise ArtefactError(f"{path} has sha256 {found}, its manifest says {expected}; restore it or train again")


def _program(path: Path) -> Callable[..., torch.Tensor]:
    try:
        module = torch.export.load(path).module()
    except Exception as error:
        raise ArtefactError(f"{path} is not a torch.export program of this torch: {error}") from error
    return module


def _check_shapes(directory: Path, artefact: Artefact) -> None:
    """One answer of each program: it warms them up, and a wrong shape is found here rather than by a subscriber."""
    manifest = artefact.manifest
    expected = (len(artefact.content_ids) + 1, manifest.embedding_size)
    if artefact.embeddings.shape != expected:
        raise ArtefactError(f"{directory} has embeddings of shape {artefact.embeddings.shape}, expected {expected}")
    history = History(
        artefact.content_ids[:2], (0.5, 0.5)[: len(artefact.content_ids)], (0, 0)[: len(artefact.content_ids)]
    )
    embedding = artefact.subscriber_embedding(history, {}, None, datetime.fromtimestamp(0, UTC))
    if embedding.shape != (manifest.embedding_size,):
        raise ArtefactError(
            f"the user tower of {directory} answers {embedding.shape}, not ({manifest.embedding_size},)"
        )
    for name, relation in (("neighbours", artefact.neighbours), ("taste weights", artefact.taste)):
        if relation.matrix.shape != (len(artefact.content_ids) + 1,) * 2:
            raise ArtefactError(
                f"{directory} has {name} of shape {relation.matrix.shape}, expected a row and a column for each of "
                f"{len(artefact.content_ids)} contents and padding"
            )
    for candidates in (2, manifest.candidate_count):
        scores, chances = artefact.rank(np.zeros((candidates, len(manifest.ranker_features)), dtype=np.float32))
        if scores.shape != (candidates,) or chances.shape != (candidates, _HEAD_COUNT):
            raise ArtefactError(
                f"the ranker of {directory} answers {scores.shape} and {chances.shape} for {candidates} candidates"
            )
