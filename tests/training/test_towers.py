"""The two towers: causal, blind to padding, able to learn, and the same again from the same seed."""

import numpy as np
import pytest
import torch

from tests.training.columns import contents
from training import towers
from training.towers import Dropout, TowerConfig, TwoTower

SMALL = TowerConfig(embedding_size=16, sequence_length=8, block_count=1, dropout=0.1, batch_size=16, learning_rate=1e-2)


def _model(count: int = 12, config: TowerConfig = SMALL, seed: int = 0) -> TwoTower:
    torch.manual_seed(seed)
    return TwoTower(contents(count).side, config).eval()


def test_a_state_knows_nothing_of_later_items() -> None:
    model = _model()
    one = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]])
    other = torch.tensor([[1, 2, 3, 4, 5, 12, 11, 10]])
    with torch.inference_mode():
        first, second = (model.states(items, model.contents()) for items in (one, other))
    assert torch.allclose(first[:, :5], second[:, :5], atol=1e-6)
    assert not torch.allclose(first[:, 5:], second[:, 5:], atol=1e-3)


def test_only_the_newest_items_of_a_long_history_count() -> None:
    model = _model()
    history = np.arange(1, 13)
    long, short = towers.embed_subscribers(model, [history, history[-8:]])
    assert long == pytest.approx(short)


def test_an_empty_history_has_an_embedding_of_numbers() -> None:
    assert np.isfinite(towers.embed_subscribers(_model(), [np.array([], dtype=np.int64)])).all()


def test_the_padding_item_is_worth_nothing() -> None:
    assert (towers.embed_contents(_model())[0] == 0).all()


def _cycle(count: int, length: int, people: int) -> list[np.ndarray]:
    return [(np.arange(start, start + length) % count) + 1 for start in range(people)]


def test_it_learns_what_follows_what() -> None:
    model = _model()
    towers.fit(model, _cycle(12, 30, 40), epochs=25, seed=1)
    scores = towers.embed_subscribers(model, _cycle(12, 5, 12)) @ towers.embed_contents(model).T
    scores[:, 0] = -np.inf
    expected = [(start + 5) % 12 + 1 for start in range(12)]
    assert scores.argmax(axis=1).tolist() == expected


def test_the_same_seed_gives_the_same_model_and_another_one_another() -> None:
    fitted = []
    for seed in (1, 1, 2):
        model = _model()
        towers.fit(model, _cycle(12, 20, 10), epochs=2, seed=seed)
        fitted.append(towers.embed_contents(model))
    assert (fitted[0] == fitted[1]).all()
    assert not (fitted[0] == fitted[2]).all()


def test_contents_that_do_not_compete_are_not_pushed_away() -> None:
    model = _model()
    before = model.contents.ids.weight.detach().clone()
    allowed = np.arange(13) > 0
    allowed[12] = False
    frozen = TowerConfig(**{**SMALL.__dict__, "weight_decay": 0.0})
    model.config = frozen
    towers.fit(model, _cycle(11, 20, 10), epochs=2, seed=1, allowed=allowed)
    after = model.contents.ids.weight.detach()
    assert torch.equal(before[12], after[12])
    assert not torch.equal(before[11], after[11])


def test_windows_hold_every_step_of_a_sequence_and_few_of_them_twice() -> None:
    sequence = np.arange(1, 31)
    for seed in range(20):
        inputs, targets = towers._windows([sequence], 8, np.random.default_rng(seed))
        steps = list(zip(inputs[inputs > 0].tolist(), targets[inputs > 0].tolist(), strict=True))
        assert set(steps) == {(item, item + 1) for item in range(1, 30)}
        assert len(steps) - len(set(steps)) < 8 / 2


def test_dropout_keeps_the_mean_and_does_nothing_in_use() -> None:
    torch.manual_seed(3)
    drop = Dropout(0.25)
    values = torch.ones(200, 500)
    dropped = drop(values)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(drop.eval()(values), values)
