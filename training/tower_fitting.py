"""Training of the towers: every interaction is predicted from those before it, by softmax over the contents.

In: histories. Out: the model, fitted in place. On several processes (`torchrun`) each takes its share of every batch
and gradients are averaged, so that they stay one model; which rows a batch has does not depend on how many there are.

Legend: R rows of W places, P places with a target, C contents that compete, N contents.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from training.histories import Floats, Histories, Ints, Rows, Windows, filled, packed, windows
from training.processes import is_first_process, of_each, process_count, process_number
from training.sharded_tables import clip_gradients, own_files, own_names, spread
from training.tower_config import TowerConfig
from training.towers import TwoTower

Progress = Callable[[int, float], None]
# of an epoch, however little there is to learn from
_FEWEST_STEPS = 20
# of what `_Run.keep` writes: a state of another form is none
_KEPT_AS = 2
# on a CPU what is larger than its cache, and asked of the system anew at each step, costs three times as much
_SCORES_AT_ONCE = 2**20
# processors with these multiply matrices two to three times as fast where torch may round what is multiplied
_HALVES = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Attributes:
        learning_rate: the highest; it rises over a tenth of the epochs and falls by half a cosine.
        quality: of the model after an epoch, higher is better; with it training ends `patience` epochs after the best
            one, whose model is kept.
        checkpoint: where to keep the state after each epoch; a run that finds its own there goes on from it, and its
            end is that of a run without a break on as many processes. It stays when training has ended, for a run of
            several trainings.
    """

    epochs: int
    learning_rate: float
    quality: Callable[[TwoTower], float] | None = None
    patience: int = 3
    checkpoint: Path | None = None


def fit(
    model: TwoTower,
    histories: Histories,
    schedule: Schedule,
    seed: int,
    on_epoch: Progress = lambda _epoch, _loss: None,
) -> None:
    """Train in place to predict each next content by softmax over those that anybody consumed.

    The others must not learn from the competition that nobody wants them: what nobody consumed may be new.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    counts = np.bincount(histories.items, minlength=len(model.contents.side))
    model.contents.is_known.copy_(torch.from_numpy(counts > 0).unsqueeze(1))
    loss = _Loss(model, _Competitors(np.flatnonzero(counts), counts, model.config))
    with spread(model):
        run = _Run(model, loss, schedule, _name(model, histories, schedule, seed), seed, device)
        run.resume()
        while run.epoch < schedule.epochs and not run.is_over():
            mean = run.one_epoch(histories)
            run.keep()
            on_epoch(run.epoch - 1, mean)
        run.finish()
    model.to("cpu").eval()


def _name(model: TwoTower, histories: Histories, schedule: Schedule, seed: int) -> str:
    """Tells one training from another: by what it starts from, what it learns from and how."""
    digest = hashlib.sha256(f"{_KEPT_AS} {model.config.model_dump_json()}".encode())
    digest.update(f"{schedule.epochs} {schedule.learning_rate} {schedule.patience} {seed}".encode())
    for values in vars(histories).values():
        digest.update(np.ascontiguousarray(values).data)
    for weights in model.parameters():
        digest.update(np.ascontiguousarray(weights.detach().cpu().numpy()).data)
    return digest.hexdigest()


@contextmanager
def _mixed_precision(device: torch.device, config: TowerConfig) -> Iterator[None]:
    """Matrix products in bfloat16 where that is faster, sums and weights in float32."""
    if not config.mixed_precision:
        yield
    elif device.type == "cuda":
        with torch.autocast("cuda", torch.bfloat16):
            yield
    elif _HALVES & {name for name, is_there in torch.cpu.get_capabilities().items() if is_there}:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
    else:
        yield


class _Run:
    """Everything that a break must not lose."""

    def __init__(
        self, model: TwoTower, loss: "_Loss", schedule: Schedule, name: str, seed: int, device: torch.device
    ) -> None:
        self._name = name
        self._model = model
        self._loss = loss
        self._schedule = schedule
        self._device = device
        self._generator = np.random.default_rng(seed)
        # what each process drops is its own; which rows there are, and which contents compete, is the same for all
        torch.manual_seed(seed + process_number())
        plain = [p for name, p in model.named_parameters() if _is_decayed(name)]
        rest = [p for name, p in model.named_parameters() if not _is_decayed(name)]
        self._optimizer = torch.optim.AdamW(
            [{"params": plain, "weight_decay": model.config.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=schedule.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.epoch = 0
        self._best: tuple[float, int, dict[str, Tensor]] | None = None

    def is_over(self) -> bool:
        return self._best is not None and self.epoch - self._best[1] >= self._schedule.patience

    def one_epoch(self, histories: Histories) -> float:
        """The mean loss of its steps."""
        self._model.train()
        step = _shared(self._loss)
        losses = []
        for progress, rows in _batches(histories, self._model.config, self._generator):
            for group in self._optimizer.param_groups:
                done = (self.epoch + progress) / self._schedule.epochs
                group["lr"] = self._schedule.learning_rate * _warm_cosine(done)
            drawn = self._loss.competitors.drawn(rows.targets[rows.targets > 0], self._generator)
            self._optimizer.zero_grad()
            with _mixed_precision(self._device, self._model.config):
                loss = step(_share_of(rows), *drawn)
                loss.backward()
            clip_gradients(self._model, 1.0)
            self._optimizer.step()
            losses.append(loss.item())
        self.epoch += 1
        if self._schedule.quality is not None:
            quality = self._schedule.quality(self._model)
            if self._best is None or quality > self._best[0]:
                self._best = (quality, self.epoch, {k: v.clone() for k, v in self._model.state_dict().items()})
        return float(np.mean(losses))

    def keep(self) -> None:
        if self._schedule.checkpoint is None:
            return
        torch_states = of_each(_torch_state(self._device))
        if not (is_first_process() or own_names(self._model)):
            return
        files = own_files(self._model, self._schedule.checkpoint)
        file = files[self.epoch % len(files)]
        draft = file.with_suffix(".draft")
        state = {
            "name": self._name,
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.bit_generator.state,
            "torch": torch_states,
            "epoch": self.epoch,
            "best": self._best,
        }
        torch.save(state, draft)
        draft.replace(file)

    def resume(self) -> None:
        if self._schedule.checkpoint is None:
            return
        kept = self._kept(self._schedule.checkpoint)
        everywhere = set.intersection(*map(set, of_each(list(kept))))
        if not everywhere:
            return
        state = _read(kept[max(everywhere)])
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.bit_generator.state = state["generator"]
        # others than those that began draw what their own seeds give
        if len(state["torch"]) == process_count():
            _set_torch_state(state["torch"][process_number()], self._device)
        self.epoch, self._best = state["epoch"], state["best"]

    def _kept(self, checkpoint: Path) -> dict[int, Path]:
        """This training's files, by how many epochs were done."""
        states = {file: _read(file, mmap=True) for file in own_files(self._model, checkpoint) if file.exists()}
        return {state["epoch"]: file for file, state in states.items() if state["name"] == self._name}

    def finish(self) -> None:
        if self._best is not None:
            self._model.load_state_dict(self._best[2])


def _read(file: Path, mmap: bool = False) -> dict[str, Any]:
    # written by _Run on this machine: numbers, and the state of numpy's generator; not onto the first process's GPU
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=False, mmap=mmap)
    return state


def _torch_state(device: torch.device) -> list[Tensor]:
    """What this process would draw next: on its CPU, and on its GPU where that is what it trains on."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def _set_torch_state(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)


class _Competitors:
    """The contents that a target competes with: all of a small catalogue, else some that are drawn for each batch.

    Drawn are the batch's own targets (often what is popular) and some more at random from the whole catalogue (mixed
    negatives, Yang et al. 2020). A score is taken down by the logarithm of how probable it was that its content is
    there (Yi et al. 2019), so that the sum over those drawn stands for the sum over all.
    """

    def __init__(self, competing: Ints, counts: Ints, config: TowerConfig) -> None:
        self._competing = competing
        self.is_whole = len(competing) <= config.full_softmax_up_to
        self._count = config.negative_count
        self._share = counts[competing] / max(counts[competing].sum(), 1)
        self._column_of = np.full(len(counts), -1)
        self._column_of[competing] = np.arange(len(competing))

    def drawn(self, targets: Ints, generator: np.random.Generator) -> tuple[Ints, Floats]:
        """Items by number, and the logarithm of each one's chance to be there.  # (P,) -> (C,), (C,)"""
        if self.is_whole:
            return self._competing, np.zeros(len(self._competing), dtype=np.float32)
        uniform = generator.integers(0, len(self._competing), self._count)
        columns = np.unique(np.concatenate([self._column_of[targets], uniform]))
        missed = len(targets) * np.log1p(-np.minimum(self._share[columns], 0.999))
        missed += self._count * math.log1p(-1.0 / len(self._competing))
        return self._competing[columns], np.log(-np.expm1(missed)).astype(np.float32)


class _Loss(nn.Module):
    """The mean over the targets of some rows."""

    def __init__(self, model: TwoTower, competitors: _Competitors) -> None:
        super().__init__()
        self.model = model
        self.competitors = competitors

    def forward(self, rows: Rows, competing: Ints, log_chance: Floats) -> Tensor:
        model, device = self.model, self.model.contents.side.device
        used = np.union1d(competing, rows.items)
        table = model.contents(torch.from_numpy(used).to(device))
        segments = torch.from_numpy(rows.segments).to(device)
        width = segments.shape[1]
        causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
        states = model.subscribers(
            functional.embedding(torch.from_numpy(np.searchsorted(used, rows.items)).to(device), table),
            torch.from_numpy(rows.items > 0).to(device),
            torch.from_numpy(rows.completions).to(device),
            torch.from_numpy(rows.moments).to(device),
            torch.from_numpy(rows.asked).to(device),
            causal & (segments.unsqueeze(2) == segments.unsqueeze(1)),
            torch.from_numpy(rows.profiles).to(device),
            torch.from_numpy(rows.devices).to(device),
        )
        is_target = rows.targets > 0
        places = torch.from_numpy(np.flatnonzero(is_target)).to(device)
        states = states.flatten(0, 1).index_select(0, places)  # (P, D)
        others = table.index_select(0, torch.from_numpy(np.searchsorted(used, competing)).to(device))
        wanted = torch.from_numpy(np.searchsorted(competing, rows.targets[is_target])).to(device)
        chance = None if self.competitors.is_whole else torch.from_numpy(log_chance).to(device)
        size = max(1, _SCORES_AT_ONCE // len(competing))
        parts = zip(torch.split(states, size), torch.split(wanted, size), strict=True)
        surprise = torch.cat([_surprise(some @ others.T, targets, chance) for some, targets in parts])  # (P,)
        dropped = torch.from_numpy(rows.target_completions[is_target] < model.config.dropped_below).to(device)
        # what was given up at once is no wish: it is made less likely, as far as it was thought likely (unlikelihood)
        disliked = -torch.log1p(-torch.exp(-surprise).clamp(max=0.99))
        mean: Tensor = torch.where(dropped, disliked, surprise).mean()
        return mean


def _surprise(scores: Tensor, wanted: Tensor, log_chance: Tensor | None) -> Tensor:
    """How little each target was expected among all that compete.  # (P, C), (P,), (C,) -> (P,)"""
    if log_chance is not None:
        # the target of a place is there for certain, whatever its chance
        kept = scores.gather(1, wanted.unsqueeze(1))
        scores = (scores - log_chance).scatter(1, wanted.unsqueeze(1), kept)
    return functional.cross_entropy(scores, wanted, reduction="none")


def _batches(histories: Histories, config: TowerConfig, generator: np.random.Generator) -> Iterator[tuple[float, Rows]]:
    """How much of an epoch is done before a batch, and its rows."""
    width = config.sequence_length + 1
    chosen = windows(histories, width, generator)
    row_of, place_of = packed(chosen.lengths, width, generator)
    order = np.argsort(row_of, kind="stable")
    row_count = int(row_of.max()) + 1
    size = max(1, min(config.batch_size, row_count // _FEWEST_STEPS))
    starts = range(0, row_count, size)
    bounds = np.searchsorted(row_of[order], [*starts, row_count])
    for start, low, high in zip(starts, bounds[:-1], bounds[1:], strict=True):
        mine = order[low:high]
        part = Windows(chosen.starts[mine], chosen.lengths[mine])
        count = min(size, row_count - start)
        yield start / row_count, filled(histories, part, row_of[mine] - start, place_of[mine], count, width)


def _is_decayed(name: str) -> bool:
    """Weights and embeddings; what starts from zero and says how much something matters is left alone."""
    return not any(part in name for part in ("bias", "dayparts", "devices", "norm"))


def _warm_cosine(progress: float, warm_share: float = 0.1) -> float:
    """The learning rate's share of its highest: up in a line, then down a half cosine.  # 0..1 -> 0..1"""
    if progress < warm_share:
        return max(progress, 0.01) / warm_share
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warm_share) / (1.0 - warm_share)))


def _shared(loss: nn.Module) -> nn.Module:
    """The same, with gradients averaged over the processes where there are several."""
    if not distributed.is_initialized():
        return loss
    # rows that a process has alone are no other's business, and what is no parameter is the same for all
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(loss, own_names(loss))  # type: ignore[no-untyped-call]
    return DistributedDataParallel(loss, forward_sync_buffers=False)


def _share_of(rows: Rows) -> Rows:
    """This process's rows of a batch; all of them where it is alone, or where there are too few to share out."""
    count = process_count()
    if count == 1 or len(rows.items) < count:
        return rows
    mine = slice(process_number(), None, count)
    return Rows(**{name: values[mine] for name, values in vars(rows).items()})
