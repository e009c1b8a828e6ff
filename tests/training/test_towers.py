"""The two towers: causal, blind to padding and to neighbours in a row, and aware of time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.columns import contents, embed_subscribers, histories
from training import towers
from training.histories import SECOND
from training.tower_config import TowerConfig
from training.towers import Dropout, TwoTower

SMALL = TowerConfig(embedding_size=16, sequence_length=8, block_count=1, dropout=0.1, batch_size=16, learning_rate=1e-2)
_HOUR = 3_600


def _model(count: int = 12, config: TowerConfig = SMALL, seed: int = 0) -> TwoTower:
    torch.manual_seed(seed)
    model = TwoTower(contents(count), config, profile_size=3)
    model.contents.is_known[1:] = 1.0
    # what starts from nothing would hide what is looked for
    tower = model.subscribers
    for weights in (tower.time_bias, tower.place_bias, tower.dayparts):
        torch.nn.init.normal_(weights.weight)
    # code 0 is of nobody, and of no device
    for weights in (tower.profile, tower.devices):
        torch.nn.init.normal_(weights.weight[1:])
    return model.eval()


def _states(
    model: TwoTower,
    items: list[int],
    seconds: list[int],
    segments: list[int],
    codes: tuple[int, ...] = (),
    device: int = 0,
) -> torch.Tensor:
    """Of a row in which the windows' profiles are `codes`, one a window, and all is asked on `device`."""
    rows = torch.tensor([items])
    moments, parts = torch.tensor([seconds]), torch.tensor([segments])
    width = len(items)
    together = torch.ones(width, width, dtype=torch.bool).tril() & (parts.unsqueeze(2) == parts.unsqueeze(1))
    asked = torch.cat([moments[:, 1:], moments[:, -1:] + 1], dim=1)
    profiles = torch.zeros(1, width, 1, dtype=torch.int64)
    for place, code in zip(np.flatnonzero(np.array(items) == 0), codes, strict=False):
        profiles[0, place] = code
    completions, devices = torch.full((1, width), torch.nan), torch.full((1, width), device)
    with torch.inference_mode():
        return model.subscribers(
            model.contents(rows), rows > 0, completions, moments, asked, together, profiles, devices
        )[0]


def test_a_state_knows_nothing_of_later_items() -> None:
    model, seconds = _model(), list(range(0, 8 * _HOUR, _HOUR))
    first = _states(model, [0, 2, 3, 4, 5, 6, 7, 8], seconds, [0] * 8)
    second = _states(model, [0, 2, 3, 4, 5, 12, 11, 10], seconds, [0] * 8)
    assert torch.allclose(first[:5], second[:5], atol=1e-6)
    assert not torch.allclose(first[5:], second[5:], atol=1e-3)


def test_windows_of_one_row_know_nothing_of_each_other() -> None:
    model, seconds = _model(), [0, 10, 20, 30, 0, 10, 20, 30]
    alone = _states(model, [0, 5, 6, 7], seconds[:4], [1] * 4)
    for neighbour, code in (([0, 1, 2, 3], 0), ([0, 9, 9, 9], 0), ([0, 1, 2, 3], 2)):
        beside = _states(model, [*neighbour, 0, 5, 6, 7], seconds, [0] * 4 + [1] * 4, (code, 0))[4:]
        # the last place of a row is asked for another moment
        assert torch.allclose(beside, alone, atol=1e-6)


def test_only_the_newest_items_of_a_long_history_count() -> None:
    model = _model()
    long, short = histories([np.arange(1, 13)]), histories([np.arange(5, 13)])
    late = embed_subscribers(model, long, np.array([13 * 86_400 * SECOND]))
    same = embed_subscribers(model, short, np.array([9 * 86_400 * SECOND]))
    # the same gaps, and another weekday
    model.subscribers.dayparts.weight.data.zero_()
    late, same = (
        embed_subscribers(model, found, np.array([days * 86_400 * SECOND])) for found, days in ((long, 13), (short, 9))
    )
    assert late == pytest.approx(same, abs=1e-5)


def test_padding_changes_nothing() -> None:
    model = _model()
    together = embed_subscribers(
        model, histories([np.array([3, 4]), np.arange(1, 9), np.array([], dtype=np.int64)]), np.full(3, 10**18)
    )
    alone = embed_subscribers(model, histories([np.array([3, 4])]), np.full(1, 10**18))
    assert together[0] == pytest.approx(alone[0], abs=1e-5)
    assert np.isfinite(together).all()


def test_how_long_ago_it_was_and_what_time_it_is_matter() -> None:
    model, history = _model(), histories([np.array([3, 4, 5])])
    monday = 4 * 86_400 * SECOND
    now, hour, week, saturday = (
        embed_subscribers(model, history, np.array([monday + step * SECOND]))[0]
        for step in (0, 12 * _HOUR, 7 * 86_400, 5 * 86_400)
    )
    for other in (hour, week, saturday):
        assert not np.allclose(now, other, atol=1e-3)


def test_how_much_was_consumed_matters_where_it_is_known() -> None:
    model, history = _model(), histories([np.array([3, 4, 5])])
    torch.nn.init.normal_(model.subscribers.completion)
    asked = np.array([10**18])
    unknown = embed_subscribers(model, history, asked)[0]
    history.completions[:] = 0.1
    little = embed_subscribers(model, history, asked)[0]
    history.completions[:] = 0.9
    much = embed_subscribers(model, history, asked)[0]
    assert not np.allclose(unknown, little, atol=1e-3)
    assert not np.allclose(little, much, atol=1e-3)


def test_what_training_and_requests_see_of_a_history_is_the_same() -> None:
    """A packed row's last state and the embedding of a request at the moment of the next interaction."""
    model = _model()
    asked = np.array([(2 * 86_400 + 1) * SECOND])
    for code, device in ((0, 0), (2, 0), (0, 3), (2, 1)):
        row = _states(model, [0, 3, 4, 5], [0, 0, 86_400, 2 * 86_400], [0] * 4, (code,), device)
        history = replace(histories([np.array([3, 4, 5])]), profiles=np.array([[code]]))
        found = embed_subscribers(model, history, asked, np.array([device]))[0]
        assert found == pytest.approx(row[-1].numpy(), abs=1e-5)


def test_on_what_it_is_asked_matters() -> None:
    model, history, asked = _model(), histories([np.array([3, 4, 5])]), np.array([10**18])
    nowhere, web, television = (embed_subscribers(model, history, asked, np.array([code]))[0] for code in (0, 1, 3))
    assert not np.allclose(nowhere, web, atol=1e-3)
    assert not np.allclose(web, television, atol=1e-3)


@pytest.mark.parametrize("consumed", [[], [3, 4, 5]])
def test_who_a_subscriber_is_matters_with_and_without_a_history(consumed: list[int]) -> None:
    model, history = _model(), histories([np.array(consumed, dtype=np.int64)])
    nobody, one, other = (
        embed_subscribers(model, replace(history, profiles=np.array([[code]])), np.array([10**18]))[0]
        for code in (0, 1, 2)
    )
    assert not np.allclose(nobody, one, atol=1e-3)
    assert not np.allclose(one, other, atol=1e-3)


def test_the_padding_item_is_worth_nothing() -> None:
    assert (towers.embed_contents(_model())[0] == 0).all()


def test_a_content_that_nobody_consumed_speaks_by_its_features() -> None:
    model = _model()
    model.contents.is_known[7] = 0.0
    table = towers.embed_contents(model)
    expected = model.contents.side_map(model.contents.side[7]).detach().numpy()
    assert table[7] == pytest.approx(expected, abs=1e-6)
    assert not np.allclose(table[8], model.contents.side_map(model.contents.side[8]).detach().numpy())


def test_dropout_keeps_the_mean_and_does_nothing_in_use() -> None:
    torch.manual_seed(3)
    drop = Dropout(0.25)
    values = torch.ones(200, 500)
    dropped = drop(values)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(drop.eval()(values), values)
