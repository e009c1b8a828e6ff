"""What the towers learn from a content's words and tags about one that nobody consumed, here and where it is served."""

import numpy as np
import torch
from torch.nn import functional

from tests.training.columns import embed_subscribers, histories
from training import towers
from training.dataset import UNKNOWN, Contents
from training.histories import SECOND
from training.tower_config import TowerConfig
from training.tower_fitting import Schedule, fit
from training.towers import TwoTower


def test_a_new_content_is_found_by_whoever_reads_of_its_subject() -> None:
    """Two audiences, one of cats and one of dogs; items 11 and 12 are new, and say what they are about."""
    texts = ["cat"] * 5 + ["dog"] * 5 + ["cat", "dog"]
    count = len(texts)
    side = np.ones((count, 1), dtype=np.float32)
    contents = Contents.of(
        tuple(map(str, range(count))), side, texts, np.full(count, UNKNOWN), np.ones(count, dtype=bool)
    )
    generator = np.random.default_rng(1)
    people = [generator.permutation(5) + 1 + 5 * (person % 2) for person in range(60)]
    torch.manual_seed(0)
    model = TwoTower(contents, TowerConfig(embedding_size=16, sequence_length=8, block_count=1, batch_size=16))
    fit(model, histories(people), Schedule(10, 1e-2), seed=1)
    asked = np.full(2, 9 * 86_400 * SECOND)
    seen = histories([np.array([1, 2, 3]), np.array([6, 7, 8])])
    scores = embed_subscribers(model, seen, asked) @ towers.embed_contents(model).T
    assert scores[0, 11] > scores[0, 12]
    assert scores[1, 12] > scores[1, 11]
    # where it is served no towers are at hand, only what the content tower makes of features
    served = model.contents.of_features().embed(side[10:], texts[10:])
    np.testing.assert_allclose(served, towers.embed_contents(model)[11:], atol=1e-6)


def _surprise_at_new_contents(id_dropout: float) -> float:
    """How little the right one of six new contents is expected among them (nats), by who consumed of its subject.

    Five contents a subject have learnt parts of their own; of the features six tell the subject and twenty nothing.
    """
    subjects, each, of_no_use = 6, 5, 20
    generator = np.random.default_rng(0)
    subject_of = np.concatenate([np.repeat(np.arange(subjects), each), np.arange(subjects)])
    count = len(subject_of)
    side = np.concatenate([np.eye(subjects)[subject_of], generator.random((count, of_no_use))], axis=1)
    contents = Contents.of(
        tuple(map(str, range(count))), side.astype(np.float32), [""] * count, np.full(count, UNKNOWN),
        np.ones(count, dtype=bool),
    )  # fmt: skip
    people = [generator.permutation(each) + 1 + each * (person % subjects) for person in range(90)]
    torch.manual_seed(1)
    sizes = TowerConfig(embedding_size=16, sequence_length=8, block_count=1, batch_size=16, id_dropout=id_dropout)
    model = TwoTower(contents, sizes)
    fit(model, histories(people), Schedule(8, 1e-2), seed=1)
    seen = histories([np.arange(1, 4) + each * subject for subject in range(subjects)])
    new = towers.embed_contents(model)[1 + subjects * each :]
    scores = torch.from_numpy(embed_subscribers(model, seen, np.full(subjects, 9 * 86_400 * SECOND)) @ new.T)
    assert scores.argmax(dim=1).tolist() == list(range(subjects))
    return float(functional.cross_entropy(scores, torch.arange(subjects)))


def test_where_contents_go_without_their_own_parts_at_times_features_say_more_of_new_ones() -> None:
    assert _surprise_at_new_contents(id_dropout=0.5) < 0.5 * _surprise_at_new_contents(id_dropout=0.0)
