"""Writes the artefact that serving reads: exported towers and ranker, embeddings, neighbours, fallback lists.

In: a fitted system and the frames of its evaluation. Out: a directory with a manifest, written whole under another
name and then renamed. The format is docs/ARCHITECTURE.md's, "Model artefact".
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from feature_repo.nearest import Nearest
from feature_repo.profile_codes import PROFILES, ProfileCodes
from feature_repo.ranking_inputs import NAMES
from feature_repo.tower_inputs import TOWER_INPUTS
from training.dataset import Contents
from training.manifest import MANIFEST, Manifest, checksum
from training.system import System
from training.towers import ServedTower, embed_contents


def export(
    folder: Path,
    system: System,
    contents: Contents,
    codes: ProfileCodes,
    fallback: dict[str, list[str]],
    evaluation: dict[str, pd.DataFrame],
    metrics: list[dict[str, str | float | int | None]],
    reference_features: pd.DataFrame,
    documents: Mapping[str, str],
    manifest: Manifest,
) -> None:
    """Write `folder`, whole or not at all.

    Args:
        evaluation: frames topk, relevant and seen.
        documents: the text of further files, by their path.
        manifest: complete but for the hashes of the files.
    """
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    (draft / "evaluation").mkdir(parents=True)
    _write_programs(draft, system, codes)
    nearest = Nearest.build(embed_contents(system.retriever))
    np.save(draft / "content_embeddings.npy", nearest.embeddings)
    nearest.save(draft / "content_index.faiss")
    system.retriever.contents.of_features().save(draft / "content_tower.npz")
    codes.save(draft / PROFILES)
    (draft / "content_ids.json").write_text(json.dumps(list(contents.content_ids)))
    (draft / "fallback.json").write_text(json.dumps(fallback))
    sparse.save_npz(draft / "item_neighbours.npz", system.relations.similarity)
    sparse.save_npz(draft / "taste_weights.npz", system.relations.weights)
    for name, frame in evaluation.items():
        frame.to_parquet(draft / "evaluation" / f"{name}.parquet", index=False)
    (draft / "evaluation" / "metrics.json").write_text(json.dumps(metrics))
    reference_features.to_parquet(draft / "reference_features.parquet", index=False)
    for name, text in documents.items():
        (draft / name).write_text(text, encoding="utf-8")
    files = {str(path.relative_to(draft)): checksum(path) for path in sorted(draft.rglob("*")) if path.is_file()}
    (draft / MANIFEST).write_text(manifest.model_copy(update={"files": files}).model_dump_json(indent=2))
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)


def _write_programs(folder: Path, system: System, codes: ProfileCodes) -> None:
    length = system.retriever.config.sequence_length
    batch, count = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("count", min=1, max=100_000)
    # examples of two and more, since a dimension of one would be taken for a constant
    tower = torch.export.export(
        ServedTower(embed_contents(system.retriever), system.retriever.subscribers).eval(),
        (
            torch.ones(2, length, dtype=torch.int64),
            torch.ones(2, length, dtype=torch.int64),
            torch.ones(2, length),
            torch.ones(2, dtype=torch.int64),
            torch.zeros(2, codes.width, dtype=torch.int64),
            torch.zeros(2, dtype=torch.int64),
        ),
        dynamic_shapes=({0: batch},) * len(TOWER_INPUTS),
    )
    torch.export.save(tower, folder / "user_tower.pt2")
    ranker = torch.export.export(system.ranker.eval(), (torch.zeros(3, len(NAMES)),), dynamic_shapes=({0: count},))
    torch.export.save(ranker, folder / "ranker.pt2")
