"""Training on several processes or machines, started by torchrun: joining the others, and who speaks for all.

Every process reads and ranks the same; the towers' batches are shared out (`tower_fitting`). What is written is written
by the first, into folders that all of them see.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import distributed

T = TypeVar("T")


def join_processes() -> None:
    """Join the others that torchrun started with this one; alone, nothing."""
    if "TORCHELASTIC_RUN_ID" in os.environ and not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def leave_processes() -> None:
    """The end of what `join_processes` began."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def joined_or_alone() -> Iterator[None]:
    """A group of processes for as long as it lasts: that which was joined, else this process for itself."""
    if distributed.is_initialized():
        yield
        return
    alone = distributed.HashStore()  # type: ignore[attr-defined]
    distributed.init_process_group("gloo", store=alone, rank=0, world_size=1)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def agreed(value: T) -> T:
    """What the first process has."""
    if not distributed.is_initialized():
        return value
    said = [value]
    distributed.broadcast_object_list(said)
    return said[0]


def of_each(value: T) -> list[T]:
    """What each process has, in their order."""
    if not distributed.is_initialized():
        return [value]
    said: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(said, value)
    return said


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if distributed.is_initialized():
        distributed.barrier()


def process_number() -> int:
    """Which of the processes this is, from 0 on."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def process_count() -> int:
    """How many processes there are, this one among them."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first_process() -> bool:
    """Whether this process is the one that writes and speaks."""
    return process_number() == 0
