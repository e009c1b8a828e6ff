"""Training on several processes or machines, started by torchrun: joining the others, and who speaks for all.

Every process reads and ranks the same; the towers' batches are shared out (`tower_fitting`).
"""

import os

import torch
from torch import distributed


def join_processes() -> None:
    """Join the others that torchrun started with this one; alone, nothing."""
    if "TORCHELASTIC_RUN_ID" in os.environ and not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def leave_processes() -> None:
    """The end of what `join_processes` began."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def is_first_process() -> bool:
    """Whether this process is the one that writes and speaks."""
    return not distributed.is_initialized() or distributed.get_rank() == 0
