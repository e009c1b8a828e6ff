"""An artefact that this code cannot ask says so, and what to do."""

from pathlib import Path

import pytest

from tests.training.versions import NOW
from training.champion import ServedModel, ServedModelError
from training.manifest import MANIFEST, Manifest


def test_a_version_of_a_later_release_is_named_with_the_remedy(tmp_path: Path) -> None:
    manifest = Manifest(
        model_version="v1", trained_at=NOW, data_from=NOW, data_until=NOW, code_version="0", run_key="run", seed=7,
        parameters={}, sequence_length=50, embedding_size=64, ranker_features=("horoscope",),
        candidate_count=100, files={},
    )  # fmt: skip
    (tmp_path / MANIFEST).write_text(manifest.model_dump_json())
    with pytest.raises(ServedModelError, match=r"wants horoscope, .*use the release that made it, or train again"):
        ServedModel.load(tmp_path)
