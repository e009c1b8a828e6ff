"""Tables whose rows lie on two processes: they answer, learn, are broken off and come back as a whole one does."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn

from tests.training.test_tower_fitting import SMALL, _BrokenOffError, _cycle, _model, _share_found
from training import towers
from training.processes import join_processes, leave_processes
from training.sharded_tables import ShardedTable, ShardingError, clip_gradients, spread
from training.tower_fitting import Schedule, fit

# of 12 contents and nothing, on two processes
_ROWS = [7, 6]
_SCHEDULE = Schedule(epochs=2, learning_rate=1e-2)
_KEPT = Schedule(epochs=4, learning_rate=1e-2, quality=_share_found, patience=5)


@dataclass(frozen=True)
class Trained:
    """Losses by epoch, how many rows the process held meanwhile, and what it ended with."""

    losses: list[float]
    rows: set[int]
    table: np.ndarray
    names: list[str]


def trained(tables: str, schedule: Schedule = _SCHEDULE, break_off_at: int | None = None, **config: object) -> Trained:
    model = _model(
        SMALL.model_copy(update={"embedding_tables": tables, "dropout": 0.0, "mixed_precision": False, **config})
    )
    losses, rows = [], set()

    def on_epoch(epoch: int, loss: float) -> None:
        losses.append(loss)
        rows.add(len(model.contents.ids.weight))
        if epoch == break_off_at:
            raise _BrokenOffError

    fit(model, _cycle(20, 20), schedule, seed=1, on_epoch=on_epoch)
    return Trained(losses, rows, towers.embed_contents(model), list(model.state_dict()))


def unlike(row_count: int, size: int) -> list[str]:
    """What a shared table says or learns otherwise than a whole one, when each process asks for something else."""
    rank, count = distributed.get_rank(), distributed.get_world_size()
    torch.manual_seed(row_count)
    whole = nn.Embedding(row_count, size)
    mine = ShardedTable(whole)
    first = rank * -(-row_count // count)
    own = slice(first, first + len(mine.weight))
    found = [] if torch.equal(mine.gathered().weight, whole.weight) else ["gathered"]
    generator = np.random.default_rng(rank)
    for step in range(12):
        asked = generator.integers(0, row_count, generator.integers(1, 3 * row_count))
        # contents of the first process alone, then some more than once, then each once
        asked = (asked // count, asked, np.unique(asked))[step % 3]
        items = torch.from_numpy(asked)
        weights = torch.from_numpy(generator.normal(size=(len(asked), size)).astype(np.float32))
        answers = [table(items) for table in (whole, mine)]
        for table, answer in zip((whole, mine), answers, strict=True):
            table.zero_grad()
            (answer * weights).sum().backward()
        distributed.all_reduce(whole.weight.grad)
        whole.weight.grad /= count
        for clipped in (False, True):
            if clipped:
                nn.utils.clip_grad_norm_(whole.parameters(), 1.0)
                clip_gradients(nn.ModuleList([mine]), 1.0)
            if not torch.allclose(whole.weight.grad[own], mine.weight.grad, atol=1e-6):
                found.append(f"step {step}: gradients, clipped: {clipped}")
        if not torch.equal(*answers):
            found.append(f"step {step}: answers")
    return found


def too_few() -> str:
    with pytest.raises(ShardingError) as said:
        ShardedTable(nn.Embedding(1, 4))
    return str(said.value)


def held(file: Path) -> list[tuple[int, ...]]:
    """Shapes of all of a kept state that is as wide as the table."""
    state = torch.load(file, weights_only=False)
    parts = [state["model"], state["best"][2], *state["optimizer"]["state"].values()]
    return [
        tuple(value.shape)
        for part in parts
        for value in part.values()
        if isinstance(value, Tensor) and value.shape in {(rows, SMALL.embedding_size) for rows in (13, *_ROWS)}
    ]


def broken_off(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with pytest.raises(_BrokenOffError):
        trained("sharded", replace(_KEPT, checkpoint=folder / "towers.checkpoint"), break_off_at=2)


def resumed(folder: Path) -> Trained:
    return trained("sharded", replace(_KEPT, checkpoint=folder / "towers.checkpoint"))


def report(folder: Path) -> None:
    """What one of two processes has to tell."""
    join_processes()
    rank, kept, behind = distributed.get_rank(), folder / "kept", folder / "behind"
    broken_off(kept)
    newest = f"towers-{rank}-of-2-odd.checkpoint"
    behind.mkdir(exist_ok=True)
    for file in kept.glob(f"towers-{rank}-of-2-*"):
        if (rank, file.name) != (1, newest):
            shutil.copy(file, behind)
    told = {
        "too few": too_few(),
        "unlike": [unlike(*shape) for shape in ((13, 16), (500, 8), (3, 4))],
        "local": trained("local", full_softmax_up_to=0, negative_count=6),
        "sharded": trained("sharded", full_softmax_up_to=0, negative_count=6),
        "sharded, not shared": trained("sharded", batch_size=1),
        "held": held(kept / newest),
        "whole": trained("sharded", _KEPT),
        "resumed": resumed(kept),
        "behind": resumed(behind),
    }
    torch.save(told, folder / f"{rank}.pt")
    leave_processes()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """The reports of two processes."""
    folder, root = tmp_path_factory.mktemp("sharded"), str(Path(__file__).parents[2])
    program = folder / "report.py"
    program.write_text(
        "import sys\nfrom pathlib import Path\nfrom tests.training import test_sharded_tables\n"
        "test_sharded_tables.report(Path(sys.argv[1]))\n"
    )
    said = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", program, folder],
        check=False, capture_output=True, text=True, timeout=300, cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1",
             "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


def test_a_shared_table_answers_and_learns_as_a_whole_one(told: list[dict]) -> None:
    assert [one["unlike"] for one in told] == [[[], [], []]] * 2


def test_two_processes_learn_from_shared_tables_what_they_learn_from_whole_ones(told: list[dict]) -> None:
    for one in told:
        np.testing.assert_allclose(one["sharded"].losses, one["local"].losses, rtol=1e-4)
        np.testing.assert_allclose(one["sharded"].table, one["local"].table, atol=2e-3)
        assert one["sharded"].names == one["local"].names
    np.testing.assert_array_equal(told[0]["sharded"].table, told[1]["sharded"].table)


def test_two_processes_learn_what_one_does(told: list[dict]) -> None:
    # of a batch of one row both have all
    alone = trained("local", batch_size=1)
    np.testing.assert_allclose(told[0]["sharded, not shared"].losses, alone.losses, rtol=1e-4)
    # of a larger one each process's mean counts the same, however many targets it has
    alone = trained("local", full_softmax_up_to=0, negative_count=6)
    np.testing.assert_allclose(np.mean([one["sharded"].losses for one in told], axis=0), alone.losses, rtol=0.05)


def test_each_process_holds_its_own_rows_alone(told: list[dict]) -> None:
    for one, rows in zip(told, _ROWS, strict=True):
        assert one["sharded"].rows == {rows}
        assert one["local"].rows == {13}
        # the weights, those of the best epoch, and the optimizer's two moments
        assert one["held"] == [(rows, SMALL.embedding_size)] * 4


def test_a_run_that_was_broken_off_ends_as_one_that_was_not(told: list[dict]) -> None:
    for one in told:
        assert len(one["resumed"].losses) == 1
        # the epoch of which a process had lost its share is done again by both
        assert len(one["behind"].losses) == 2
        for again in ("resumed", "behind"):
            np.testing.assert_array_equal(one[again].table, one["whole"].table)


def test_one_process_has_all_rows_and_needs_nobody_to_start_it() -> None:
    local, sharded = trained("local"), trained("sharded")
    assert sharded.rows == {13}
    np.testing.assert_allclose(sharded.losses, local.losses, rtol=1e-5)
    np.testing.assert_allclose(sharded.table, local.table, atol=1e-3)
    assert not distributed.is_initialized()


def test_what_cannot_be_shared_out_is_refused_with_the_remedy(told: list[dict]) -> None:
    for one in told:
        assert "0 contents are too few for 2 processes: start fewer" in one["too few"]
    elsewhere = _model(SMALL.model_copy(update={"embedding_tables": "sharded"})).to("meta")
    with pytest.raises(ShardingError, match="CUDA_VISIBLE_DEVICES"), spread(elsewhere):
        pass


def test_without_the_engine_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchrec", None)
    with pytest.raises(ShardingError, match=r"pip install --no-deps -r training/sharding.lock.*two_tower.yml"):
        trained("sharded")
    assert not distributed.is_initialized()
