"""The champion beside a new version on the same window: each subscriber's last interaction in the new version's data.

What the champion is measured on must be new to it, too. Where the subscriber's last interaction came before the end of
the champion's data, its own evaluation held that one back already, and those lists stand. Where it came later, the
champion as it serves has never seen it, and is asked again: its artefact, with the history up to that moment. In: both
artefacts, the run's training set. Out: NDCG of both for each subscriber.

Legend: E subscribers, N contents, C contents that the champion knows, D embedding size, L sequence length.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from feature_repo.profile_codes import ProfileCodes
from feature_repo.ranking_inputs import NAMES, NEIGHBOUR_WINDOW
from feature_repo.store import close_store, open_store
from feature_repo.tower_inputs import TOWER_INPUTS, chosen, inputs_of
from marquee.errors import MarqueeError
from marquee.settings import Settings
from training import baselines, dataset, pipeline, ranker, ranking_lessons, registry, towers
from training.dataset import Contents, Split
from training.evaluation import K, per_subscriber
from training.histories import Floats
from training.manifest import MANIFEST, Manifest
from training.poisoning import CleanedFeatures
from training.ranked_lists import RankedLists, list_frame, relevant_frame
from training.ranking_features import RankingFeatures, StoredFeatures, contexts
from training.system import candidate_items

_PROTOCOL = "loo"
_MODEL = "marquee"

Program = Callable[..., torch.Tensor | tuple[torch.Tensor, torch.Tensor]]


class ServedModelError(MarqueeError):
    """An artefact cannot be asked again: it is damaged, or of another form than this code knows."""


@dataclass(frozen=True)
class SameWindow:
    """NDCG@10 of both on the same interactions.

    Attributes:
        ours, theirs: by subscriber_id, in the same order.
        asked_count: of how many of them the champion was asked again.
        problem: why it could not be asked again; then those subscribers are missing.
    """

    ours: pd.Series
    theirs: pd.Series
    asked_count: int
    problem: str | None = None


def same_window(
    run_key: str, model_version: str, champion_version: str, champion_until: datetime, settings: Settings
) -> SameWindow:
    """Measure both versions on each subscriber's last interaction.

    Raises:
        pipeline.TrainingDataError: the run's training set is not there.
    """
    sifted, content_frame = pipeline.read_training_set(run_key, settings)
    real = sifted.kept[~sifted.kept["is_simulated"]].reset_index(drop=True)
    interactions, contents = dataset.read_frames(real, content_frame)
    split = dataset.leave_last_out(interactions)
    subscriber_ids = np.array(interactions.subscriber_ids, dtype=object)[split.users]
    is_later = split.cuts > pd.Timestamp(champion_until).value
    before, later = subscriber_ids[~is_later], subscriber_ids[is_later]

    ours, our_labels = _evaluated(registry.artefact_dir(model_version, settings))
    theirs, their_labels = _evaluated(registry.artefact_dir(champion_version, settings))
    alike = their_labels.reindex(before).eq(our_labels.reindex(before)) & our_labels.reindex(before).notna()
    found, problem = theirs.reindex(alike.index[alike]), None
    if len(later):
        store = open_store(settings)
        try:
            features = CleanedFeatures.of(StoredFeatures(store, contents), sifted, content_frame)
            model = ServedModel.load(registry.artefact_dir(champion_version, settings))
            profiles = pipeline.read_profiles(run_key, real, settings)
            told, _ = dataset.read_frames(real, content_frame, profiles, model.codes)
            asked = model.ndcg(dataset.leave_last_out(told).at(np.flatnonzero(is_later)), contents, features)
            found = pd.concat([found, asked.reindex(later)])
        except ServedModelError as error:
            problem = str(error)
        finally:
            close_store(store)
    both = pd.concat({"ours": ours, "theirs": found}, axis=1, join="inner").dropna()
    asked_count = 0 if problem else int(both.index.isin(later).sum())
    return SameWindow(both["ours"], both["theirs"], asked_count, problem)


@dataclass(frozen=True)
class ServedModel:
    """An artefact as serving would ask it; what its manifest does not say is not assumed.

    Attributes:
        inputs: what the tower takes.
        codes: of no property, of a version whose tower knows nothing of profiles.
    """

    manifest: Manifest
    item_of: dict[str, int]
    embeddings: Floats  # (C + 1, D)
    similarity: sparse.csr_matrix  # (C + 1, C + 1)
    taste: sparse.csr_matrix  # (C + 1, C + 1)
    tower: Program
    ranker: Program
    inputs: tuple[str, ...]
    codes: ProfileCodes

    @classmethod
    def load(cls, folder: Path) -> "ServedModel":
        """Read the artefact in `folder`.

        Raises:
            ServedModelError: a file is missing or damaged, or its ranker wants inputs that nobody computes any more.
        """
        try:
            manifest = Manifest.model_validate_json((folder / MANIFEST).read_text())
            if unknown := sorted(set(manifest.ranker_features) - set(NAMES)):
                raise ServedModelError(
                    f"the ranker of {folder.name} wants {', '.join(unknown)}, which is not known now; use the release "
                    "that made it, or train again with this one"
                )
            content_ids = json.loads((folder / "content_ids.json").read_text())
            return cls(
                manifest,
                {content_id: row + 1 for row, content_id in enumerate(content_ids)},
                np.load(folder / "content_embeddings.npy", allow_pickle=False),
                sparse.csr_matrix(sparse.load_npz(folder / "item_neighbours.npz")),
                sparse.csr_matrix(sparse.load_npz(folder / "taste_weights.npz")),
                torch.export.load(folder / "user_tower.pt2").module(),
                torch.export.load(folder / "ranker.pt2").module(),
                inputs_of(manifest.tower_inputs, manifest.files),
                ProfileCodes.of_artefact(folder, manifest.files),
            )
        except ServedModelError:
            raise
        # an old artefact must not end the run, whatever library stumbles over it
        except Exception as error:
            raise ServedModelError(f"{folder.name} cannot be read as a model ({error})") from error

    def ndcg(self, split: Split, contents: Contents, features: RankingFeatures) -> pd.Series:
        """NDCG@10 of each subscriber of `split`, by subscriber_id.

        Raises:
            ServedModelError: a program takes other inputs than its manifest says.
        """
        subscriber_ids = np.array(split.train.subscriber_ids, dtype=object)
        content_ids = np.array(contents.content_ids, dtype=object)
        lists = list_frame(split, self._lists(split, contents, features), subscriber_ids, content_ids)
        return per_subscriber(lists, relevant_frame(split, subscriber_ids, content_ids))["ndcg"]

    def _lists(self, split: Split, contents: Contents, features: RankingFeatures) -> RankedLists:
        item_count = len(contents.content_ids)
        own = np.array([0, *(self.item_of.get(content_id, 0) for content_id in contents.content_ids)])  # (N + 1,)
        seen = split.histories()
        # what the champion does not know is neither in its histories nor in its lists
        known = seen.renumbered(own)
        embeddings = towers.embedded(self._tower_asked, known, split.cuts, split.devices, self.manifest.sequence_length)
        retrieval = (embeddings @ self.embeddings.T)[:, own]
        nearby = baselines.neighbour_scores(self.similarity, known.newest(NEIGHBOUR_WINDOW))[:, own]
        taste = baselines.consumed_scores(self.taste, known)[:, own]
        week = baselines.popularity_before(split.train, item_count, split.cuts)
        allowed = contents.showable_at(split.cuts) & (own > 0)
        ages = contents.ages_at(split.cuts)
        candidates = candidate_items(retrieval, week, seen, allowed, ages, self.manifest.candidate_count)
        told = contexts(seen, split.cuts, contents)
        lists = ranking_lessons.candidate_lists(features, split, candidates, retrieval, nearby, taste, told)
        columns = [NAMES.index(name) for name in self.manifest.ranker_features]
        scores = np.full(candidates.shape, -np.inf, dtype=np.float32)
        for row, items in enumerate(candidates):
            there = np.flatnonzero(items)
            if len(there):
                scores[row, there] = self._asked(self.ranker, lists.inputs[row, there][:, columns])
        return RankedLists(_MODEL, *ranker.best(candidates, scores, K))

    def _tower_asked(self, *inputs: np.ndarray) -> Floats:
        named = dict(zip(TOWER_INPUTS, inputs, strict=True))
        return self._asked(self.tower, *chosen(self.inputs, named))

    def _asked(self, program: Program, *inputs: np.ndarray) -> Floats:
        try:
            with torch.inference_mode():
                said = program(*(torch.from_numpy(np.ascontiguousarray(one)) for one in inputs))
            # a ranker says its order, then probabilities; one of before these were foreseen says no more than the order
            answer: Floats = (said if isinstance(said, torch.Tensor) else said[0]).numpy()
        except Exception as error:
            raise ServedModelError(
                f"{self.manifest.model_version} does not take the inputs of this code ({error})"
            ) from error
        return answer


def _evaluated(folder: Path) -> tuple[pd.Series, pd.Series]:
    """NDCG@10 of an artefact's own evaluation, and the content that was to be found, by subscriber_id."""
    topk, relevant = (pd.read_parquet(folder / "evaluation" / f"{name}.parquet") for name in ("topk", "relevant"))
    lists = topk[(topk["protocol"] == _PROTOCOL) & (topk["model"] == _MODEL)]
    relevant = relevant[relevant["protocol"] == _PROTOCOL]
    return per_subscriber(lists, relevant)["ndcg"], relevant.set_index("subscriber_id")["content_id"]
