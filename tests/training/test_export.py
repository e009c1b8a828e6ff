"""What the artefact of a large catalogue holds beyond that of a small one: the index that serving searches."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from feature_repo.nearest import INDEXED_FROM, Nearest
from feature_repo.profile_codes import PROFILES, ProfileCodes
from training import ranker
from training.dataset import Contents
from training.export import export
from training.manifest import MANIFEST, Manifest, checksum
from training.ranker_config import RankerConfig
from training.system import Relations, System
from training.tower_config import TowerConfig
from training.towers import TwoTower

_NOW = datetime(2026, 11, 24, tzinfo=UTC)
_CONFIG = TowerConfig(embedding_size=16, sequence_length=4, block_count=1, head_count=1)


def _export(folder: Path, content_count: int) -> Manifest:
    side = np.random.default_rng(1).normal(size=(content_count + 1, 2)).astype(np.float32)
    ids = tuple(f"c{number}" for number in range(content_count))
    texts, published = [""] * content_count, np.zeros(content_count, dtype=np.int64)
    contents = Contents.of(ids, side[1:], texts, published, np.ones(content_count, dtype=np.bool_))
    torch.manual_seed(1)
    nothing = sparse.csr_matrix((content_count + 1, content_count + 1))
    system = System(TwoTower(contents, _CONFIG, 3), ranker.without_labels(RankerConfig()), Relations(nothing, nothing))
    manifest = Manifest(
        model_version=folder.name, trained_at=_NOW, data_from=_NOW, data_until=_NOW, code_version="1", run_key="r",
        seed=1, parameters={}, sequence_length=_CONFIG.sequence_length, embedding_size=_CONFIG.embedding_size,
        ranker_features=(), candidate_count=10, files={},
    )  # fmt: skip
    codes = ProfileCodes({"region": ("north", "south")})
    export(folder, system, contents, codes, {"popular": [], "popular_7d": []}, {}, [], pd.DataFrame(), {}, manifest)
    return Manifest.model_validate_json((folder / MANIFEST).read_text())


@pytest.mark.parametrize(("content_count", "has_index"), [(50, False), (INDEXED_FROM, True)])
def test_the_index_of_a_large_catalogue_is_written_and_vouched_for(
    tmp_path: Path, content_count: int, has_index: bool
) -> None:
    folder = tmp_path / "version"
    manifest = _export(folder, content_count)
    index = folder / "content_index.faiss"
    assert index.exists() == has_index == (index.name in manifest.files)
    assert ProfileCodes.load(folder / PROFILES).values == {"region": ("north", "south")}
    if not has_index:
        return
    assert manifest.files[index.name] == checksum(index)
    embeddings = np.load(folder / "content_embeddings.npy", mmap_mode="r")
    allowed = np.arange(len(embeddings)) > 0
    query = np.random.default_rng(2).normal(size=16).astype(np.float32)
    found = Nearest.load(embeddings, index).search(query, allowed, 20)
    exact = Nearest(embeddings).search(query, allowed, 20)
    assert len(np.intersect1d(found, exact)) >= 19
