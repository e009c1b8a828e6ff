"""A bar while models are trained: the stage, its epochs of those there are at most, and the loss."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from training.system import Progress


@contextmanager
def training_bar(console: Console, is_shown: bool = True) -> Iterator["Progress"]:
    """What has to be told of every epoch; it is drawn on a terminal alone, and gone at the end.

    Training may end a stage before its last epoch, when it gets no better.
    """
    with Bars(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn(),
        console=console, transient=True, disable=not (is_shown and console.is_terminal),
    ) as bars:  # fmt: skip
        task = bars.add_task("reading", total=None, told="")

        def show(stage: str, epoch: int, epoch_count: int, loss: float) -> None:
            told = f"epoch {epoch + 1} of {epoch_count} at most, loss {loss:.3f}"
            bars.update(task, description=stage, total=epoch_count, completed=epoch + 1, told=told)

        yield show
