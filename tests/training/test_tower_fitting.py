"""Training of the towers: it learns, it can be repeated, broken off and shared out, and heeds what was given up."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.columns import contents, embed_subscribers, histories
from training import towers
from training.histories import SECOND, Histories
from training.processes import is_first_process, join_processes, leave_processes, process_number
from training.tower_config import TowerConfig
from training.tower_fitting import Schedule, _Competitors, fit
from training.towers import TwoTower

SMALL = TowerConfig(embedding_size=16, sequence_length=8, block_count=1, dropout=0.1, batch_size=16)
_QUICK = Schedule(epochs=2, learning_rate=1e-2)
_COUNT = 12


def _model(config: TowerConfig = SMALL) -> TwoTower:
    torch.manual_seed(0)
    return TwoTower(contents(_COUNT), config)


def _cycle(length: int, people: int, count: int = _COUNT) -> Histories:
    return histories([(np.arange(start, start + length) % count) + 1 for start in range(people)])


def _share_found(model: TwoTower) -> float:
    """How often what comes next in the cycle is the first of the list."""
    shown = _cycle(5, _COUNT)
    asked = np.full(_COUNT, 5 * 86_400 * SECOND)
    scores = embed_subscribers(model, shown, asked) @ towers.embed_contents(model).T
    scores[:, 0] = -np.inf
    expected = [(start + 5) % _COUNT + 1 for start in range(_COUNT)]
    return float((scores.argmax(axis=1) == expected).mean())


@pytest.mark.parametrize("full_up_to", [8192, 0])
def test_it_learns_what_follows_what_with_all_competing_or_some(full_up_to: int) -> None:
    model = _model(SMALL.model_copy(update={"full_softmax_up_to": full_up_to, "negative_count": 6}))
    fit(model, _cycle(30, 40), Schedule(8, 1e-2), seed=1)
    assert _share_found(model) == 1.0


def test_the_same_seed_gives_the_same_model_and_another_one_another() -> None:
    fitted = []
    for seed in (1, 1, 2):
        model = _model()
        fit(model, _cycle(20, 10), _QUICK, seed)
        fitted.append(towers.embed_contents(model))
    assert (fitted[0] == fitted[1]).all()
    assert not (fitted[0] == fitted[2]).all()


def test_of_whom_nothing_was_consumed_the_profile_speaks() -> None:
    """Half of the people consume the first contents, half of them the last; a newcomer is told apart by the profile."""
    generator = np.random.default_rng(5)
    sequences = [generator.permutation(6) + 1 + 6 * (person % 2) for person in range(80)]
    codes = np.arange(80).reshape(-1, 1) % 2 + 1
    model = TwoTower(contents(_COUNT), SMALL, profile_size=3)
    fit(model, replace(histories(sequences), profiles=codes), Schedule(8, 1e-2), seed=1)
    new = replace(histories([np.zeros(0, dtype=np.int64)] * 2), profiles=np.array([[1], [2]]))
    scores = embed_subscribers(model, new, np.full(2, 10**9)) @ towers.embed_contents(model)[1:].T
    assert set(np.argsort(-scores[0])[:6]) == set(range(6))
    assert set(np.argsort(-scores[1])[:6]) == set(range(6, 12))


def test_what_is_consumed_on_what_is_learnt_and_a_device_that_nobody_names_is_neither() -> None:
    """The first contents are consumed on one device, the last on another, by everybody."""
    generator = np.random.default_rng(5)
    sequences = [generator.permutation(_COUNT) + 1 for _ in range(60)]
    consumed = histories(sequences)
    consumed = replace(consumed, devices=np.where(consumed.items <= 6, 1, 3).astype(np.int8))
    model = _model()
    fit(model, consumed, Schedule(8, 1e-2), seed=1)
    new = histories([np.zeros(0, dtype=np.int64)] * 3)
    states = embed_subscribers(model, new, np.full(3, 10**9), np.array([1, 3, 0]))
    scores = states @ towers.embed_contents(model)[1:].T
    assert set(np.argsort(-scores[0])[:6]) == set(range(6))
    assert set(np.argsort(-scores[1])[:6]) == set(range(6, 12))
    # how much nearer the first are than the last
    leanings = scores[:, :6].mean(axis=1) - scores[:, 6:].mean(axis=1)
    assert leanings[0] > leanings[2] > leanings[1]


class _BrokenOffError(Exception):
    pass


def test_a_run_that_was_broken_off_ends_as_one_that_was_not(tmp_path: Path) -> None:
    schedule = Schedule(epochs=5, learning_rate=1e-2, quality=_share_found, patience=5)
    whole, broken = _model(), _model()
    fit(whole, _cycle(20, 10), schedule, seed=1)
    kept = replace(schedule, checkpoint=tmp_path / "towers.checkpoint")

    def break_off(epoch: int, _: float) -> None:
        if epoch == 2:
            raise _BrokenOffError

    with pytest.raises(_BrokenOffError):
        fit(broken, _cycle(20, 10), kept, seed=1, on_epoch=break_off)
    assert kept.checkpoint is not None and kept.checkpoint.exists()
    again, epochs = _model(), []
    fit(again, _cycle(20, 10), kept, seed=1, on_epoch=lambda epoch, _: epochs.append(epoch))
    assert epochs == [3, 4]
    assert (towers.embed_contents(again) == towers.embed_contents(whole)).all()
    # what has ended is not done again, and what is another training does not go on from it
    ended, other = _model(), _model()
    fit(ended, _cycle(20, 10), kept, seed=1, on_epoch=break_off)
    assert (towers.embed_contents(ended) == towers.embed_contents(whole)).all()
    fit(other, _cycle(20, 10), kept, seed=2, on_epoch=lambda epoch, _: epochs.append(epoch))
    assert epochs == [3, 4, 0, 1, 2, 3, 4]


def test_training_ends_when_it_gets_no_better_and_keeps_the_best() -> None:
    said = iter([0.1, 0.3, 0.2, 0.3, 0.1, 0.9, 0.9])
    tables = []

    def quality(model: TwoTower) -> float:
        tables.append(towers.embed_contents(model))
        return next(said)

    model = _model()
    fit(model, _cycle(20, 10), Schedule(20, 1e-2, quality, patience=3), seed=1)
    assert len(tables) == 5
    assert (towers.embed_contents(model) == tables[1]).all()


def test_contents_that_nobody_consumed_are_not_pushed_away() -> None:
    model = _model(SMALL.model_copy(update={"weight_decay": 0.0}))
    before = model.contents.ids.weight.detach().clone()
    fit(model, _cycle(20, 10, count=11), _QUICK, seed=1)
    after = model.contents.ids.weight.detach()
    assert torch.equal(before[12], after[12])
    assert not torch.equal(before[11], after[11])


def test_what_was_given_up_at_once_is_recommended_less() -> None:
    """Half of the people give up what the cycle has next, and go on; the others never heard of it."""

    def chance_of_six(completion: float) -> float:
        shown = histories([np.array([1, 2, 3, 4, 5, 6, 7, 8])] * 30)
        shown.completions[:] = 1.0
        shown.completions[shown.items == 6] = completion
        model = _model()
        fit(model, shown, Schedule(8, 1e-2), seed=1)
        asked = histories([np.array([1, 2, 3, 4, 5])])
        asked.completions[:] = 1.0
        scores = embed_subscribers(model, asked, np.array([5 * 86_400 * SECOND])) @ towers.embed_contents(model).T
        return float(torch.softmax(torch.from_numpy(scores[0, 1:]), 0)[5])

    assert chance_of_six(completion=1.0) > 0.5
    assert chance_of_six(completion=0.02) < 0.1


def test_chances_of_the_drawn_are_as_often_as_they_are_drawn() -> None:
    counts = np.array([0, *range(1, 41)])
    drawer = _Competitors(
        np.arange(1, 41), counts, SMALL.model_copy(update={"full_softmax_up_to": 0, "negative_count": 10})
    )
    generator = np.random.default_rng(3)
    seen, chance = np.zeros(41), np.zeros(41)
    for _ in range(4_000):
        targets = generator.choice(41, 8, p=counts / counts.sum())
        items, log_chance = drawer.drawn(targets, generator)
        assert np.isin(targets, items).all() and (np.diff(items) > 0).all()
        seen[items] += 1
        chance[items] = np.exp(log_chance)
    np.testing.assert_allclose(seen[1:] / 4_000, chance[1:], atol=0.03)


_KEPT = Schedule(epochs=5, learning_rate=1e-2, quality=_share_found, patience=5)


def _kill_after(last: int) -> Callable[[int, float], None]:
    def on_epoch(epoch: int, _: float) -> None:
        if epoch == last:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_epoch


def killed(folder: Path, threads: str) -> None:
    """What a process does that does not come back."""
    torch.set_num_threads(int(threads))
    fit(_model(), _cycle(20, 10), replace(_KEPT, checkpoint=folder / "towers.checkpoint"), 1, _kill_after(2))


def shared(folder: Path, part: str) -> None:
    """What each of two processes does: what the first of them never ends, or what comes after it."""
    join_processes()
    whole = replace(_KEPT, epochs=4)
    kept, config = replace(whole, checkpoint=folder / "towers.checkpoint"), SMALL.model_copy(update={"batch_size": 3})
    # of three rows one process has two and the other one, so that they draw unlike many numbers
    shown = _cycle(20, 30)
    if part == "killed":
        # the one that writes, when it has written
        fit(_model(config), shown, kept, 1, _kill_after(1) if is_first_process() else _kill_after(-1))
    told: dict[str, object] = {}
    for name, schedule in (("whole", whole), ("resumed", kept)):
        model, losses = _model(config), []
        fit(model, shown, schedule, 1, lambda _, loss, losses=losses: losses.append(loss))
        told[name] = losses, towers.embed_contents(model)
    good = _model()
    fit(good, _cycle(30, 40), Schedule(8, 1e-2), seed=1)
    told["share found"] = _share_found(good)
    # of a batch of one row both processes have all, and may differ in what they drop alone
    losses = told["one row"] = []
    alone = _model(SMALL.model_copy(update={"batch_size": 1}))
    fit(alone, _cycle(8, 8), Schedule(1, 1e-2), 1, lambda _, loss: losses.append(loss))
    torch.save(told, folder / f"{process_number()}.pt")
    leave_processes()


def _run(
    program: Callable[..., None], folder: Path, *arguments: str, by_torchrun: bool = False
) -> subprocess.CompletedProcess[str]:
    """`program` of this file in a process of its own, or in two that torchrun starts."""
    file, root = folder / "program.py", Path(__file__).parents[2]
    file.write_text(
        "import sys\nfrom pathlib import Path\nfrom tests.training import test_tower_fitting\n"
        f"test_tower_fitting.{program.__name__}(Path(sys.argv[1]), *sys.argv[2:])\n"
    )
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, *(torchrun if by_torchrun else []), file, folder, *arguments],
        check=False, capture_output=True, text=True, timeout=300, cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1",
             "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip


def test_a_killed_run_goes_on_in_another_process(tmp_path: Path) -> None:
    # sums of more threads come out otherwise by a bit
    said = _run(killed, tmp_path, str(torch.get_num_threads()))
    assert said.returncode == -signal.SIGKILL, said.stderr
    whole, again, epochs = _model(), _model(), []
    fit(whole, _cycle(20, 10), _KEPT, seed=1)
    kept = replace(_KEPT, checkpoint=tmp_path / "towers.checkpoint")
    fit(again, _cycle(20, 10), kept, seed=1, on_epoch=lambda epoch, _: epochs.append(epoch))
    assert epochs == [3, 4]
    assert (towers.embed_contents(again) == towers.embed_contents(whole)).all()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """The reports of two processes that go on from where two others were killed."""
    folder = tmp_path_factory.mktemp("shared")
    said = _run(shared, folder, "killed", by_torchrun=True)
    assert "Signal 9 (SIGKILL)" in said.stderr, said.stderr
    said = _run(shared, folder, "after", by_torchrun=True)
    assert said.returncode == 0, said.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


def test_two_processes_train_one_model_as_good_as_that_of_one(told: list[dict]) -> None:
    assert [one["share found"] for one in told] == [1.0, 1.0]
    assert (told[0]["whole"][1] == told[1]["whole"][1]).all()


def test_two_processes_that_were_killed_go_on_to_the_end_of_those_that_were_not(told: list[dict]) -> None:
    for one in told:
        (losses, table), (resumed, again) = one["whole"], one["resumed"]
        assert resumed == losses[2:]
        assert (again == table).all()


def test_each_process_drops_what_no_other_does(told: list[dict]) -> None:
    assert told[0]["one row"] != told[1]["one row"]
