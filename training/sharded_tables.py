"""A content table whose rows lie on all processes, by TorchRec: for a catalogue whose training outgrows one machine.

In: a model with a whole table, on every process. While it is trained, each process holds its own rows, their gradients
and the optimizer's state of them, and nobody another's; a look-up asks the processes that have the rows. Out: the model
with a whole table again. Sources: TorchRec (Ivchenko et al. 2022), its row-wise sharding.

Legend: C contents asked for, N rows of the table, D embedding size.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from marquee.errors import MarqueeError
from training.processes import joined_or_alone
from training.towers import TwoTower

_INSTALL = "pip install --no-deps -r training/sharding.lock"
_NAME = "contents"


class ShardingError(MarqueeError):
    """Tables cannot be shared out here."""


class ShardedTable(nn.Module):
    """Answers as the table that it is made of; the rows of it that are this process's are its `weight`.

    All processes ask at the same time, each for contents of its own. Gradients come back averaged over the processes,
    as DistributedDataParallel's do.

    Raises:
        ShardingError: the engine is not installed, or there is nothing for each process to hold.
    """

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self._padding_idx = table.padding_idx
        self._ask, self._rows, self.weight = _engine(table.num_embeddings, table.embedding_dim)
        with torch.no_grad():
            self.weight.copy_(table.weight[self._rows[distributed.get_rank()]])

    def forward(self, items: Tensor) -> Tensor:
        """Embeddings of `items`.  # (C,) -> (C, D)"""
        return self._ask(items)

    def gathered(self) -> nn.Embedding:
        """The whole table, on every process.  # (N, D)"""
        whole = torch.empty(self._rows[-1].stop, self.weight.shape[1])
        for rank, rows in enumerate(self._rows):
            if rank == distributed.get_rank():
                whole[rows] = self.weight.detach()
            distributed.broadcast(whole[rows], src=rank)
        return nn.Embedding(len(whole), whole.shape[1], padding_idx=self._padding_idx, _weight=whole)


def _engine(row_count: int, size: int) -> tuple[Callable[[Tensor], Tensor], list[slice], nn.Parameter]:
    """What answers for contents; the rows of each process; and the parameter that holds this one's."""
    try:
        # on their import they speak of parts that nobody asks for
        with warnings.catch_warnings(action="ignore"):
            from fbgemm_gpu.split_table_batched_embeddings_ops_training import DenseTableBatchedEmbeddingBagsCodegen
            from torchrec import EmbeddingCollection, EmbeddingConfig, KeyedJaggedTensor
            from torchrec.distributed.shard import shard
            from torchrec.distributed.sharding_plan import construct_module_sharding_plan, row_wise
    except (ImportError, OSError) as error:
        raise ShardingError(
            f"embedding_tables is sharded, and TorchRec cannot be loaded ({error}): {_INSTALL}, "
            "or set embedding_tables to local in training/two_tower.yml"
        ) from error
    # nor is it news that a dense table is not cached, that nothing is traced, and how its gradients are registered
    for name in ("torchrec.distributed.utils", "torch.fx._symbolic_trace"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "fbgemm::dense_embedding_codegen_lookup_function")
    process_count, device = distributed.get_world_size(), torch.device("cpu")
    table = EmbeddingConfig(name=_NAME, num_embeddings=row_count, embedding_dim=size, feature_names=[_NAME])
    # on no device: the engine is never to hold more than its own rows
    whole = EmbeddingCollection(tables=[table], device=torch.device("meta"))
    plan = construct_module_sharding_plan(
        whole, {_NAME: row_wise()}, local_size=process_count, world_size=process_count, device_type=device.type
    )
    shards = [one.shard_sizes[0] for one in plan[_NAME].sharding_spec.shards]
    if not all(shards):
        raise ShardingError(
            f"embedding_tables is sharded, and {row_count - 1} contents are too few for {process_count} processes: "
            "start fewer, or set embedding_tables to local in training/two_tower.yml"
        )
    bounds = [sum(shards[:rank]) for rank in range(process_count + 1)]
    sharded = shard(whole, plan, device=device)
    for lookup in sharded._lookups:
        for part in lookup.modules():
            if isinstance(part, DenseTableBatchedEmbeddingBagsCodegen):
                part.register_forward_pre_hook(_in_bags_of_one, with_kwargs=True)

    def ask(items: Tensor) -> Tensor:
        asked = KeyedJaggedTensor(keys=[_NAME], values=items, lengths=torch.ones_like(items))
        found: Any = sharded(asked)
        answer: Tensor = found[_NAME].values()
        return answer

    rows = [slice(low, high) for low, high in pairwise(bounds)]
    return ask, rows, sharded.embeddings[_NAME].weight


def _in_bags_of_one(_: nn.Module, none: tuple[()], asked: dict[str, Tensor]) -> tuple[tuple[()], dict[str, Tensor]]:
    """Each content in a bag of its own: on a CPU a bag is summed, even if told not to (pytorch/FBGEMM issue 4586)."""
    return none, {**asked, "offsets": torch.arange(len(asked["indices"]) + 1)}


@contextmanager
def spread(model: TwoTower) -> Iterator[None]:
    """While it lasts, each process has its own rows of the contents' table alone, where the configuration says so.

    Without others, this process is all of them. After an error the table stays as it is: the others may be gone.

    Raises:
        ShardingError: it cannot be shared out.
    """
    if model.config.embedding_tables == "local":
        yield
        return
    if model.contents.side.device.type != "cpu":
        raise ShardingError(
            "embedding_tables is sharded, which is for training on CPUs: hide the GPUs (CUDA_VISIBLE_DEVICES=''), "
            "or set embedding_tables to local in training/two_tower.yml"
        )
    with joined_or_alone():
        if not isinstance(model.contents.ids, nn.Embedding):
            raise ShardingError("the table is shared out already, by a training that failed; make the model anew")
        table = model.contents.ids = ShardedTable(model.contents.ids)
        yield
        model.contents.ids = table.gathered()


def own_names(module: nn.Module) -> list[str]:
    """The parameters of which each process has rows of its own."""
    return [f"{name}.weight" for name, part in module.named_modules() if isinstance(part, ShardedTable)]


def clip_gradients(module: nn.Module, most: float) -> None:
    """Take gradients down to a norm of `most`, over the rows of all processes."""
    own = own_names(module)
    if not own:
        nn.utils.clip_grad_norm_(module.parameters(), most)
        return
    mine: list[Tensor] = []
    shared: list[Tensor] = []
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            (mine if name in own else shared).append(parameter.grad)
    squares = nn.utils.get_total_norm(mine) ** 2
    distributed.all_reduce(squares)
    norm = torch.sqrt(squares + nn.utils.get_total_norm(shared) ** 2)
    nn.utils.clip_grads_with_norm_(module.parameters(), most, norm)


def own_files(module: nn.Module, checkpoint: Path) -> list[Path]:
    """Where this process keeps its states, by turns.

    One file for all, or of each process two: processes that were broken off may be an epoch apart.
    """
    if not own_names(module):
        return [checkpoint]
    share = f"{distributed.get_rank()}-of-{distributed.get_world_size()}"
    return [checkpoint.with_name(f"{checkpoint.stem}-{share}-{turn}{checkpoint.suffix}") for turn in ("even", "odd")]
