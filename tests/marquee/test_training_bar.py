"""The bar of a training: on a terminal it says how far it is of how much at most, elsewhere nothing."""

import io

from rich.console import Console

from marquee.cli.training_bar import training_bar


def _drawn(is_terminal: bool, is_shown: bool = True) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=is_terminal, width=100, color_system=None, legacy_windows=False)
    with training_bar(console, is_shown) as show:
        show("loo: towers", 2, 20, 3.14159)
        show("loo: tuning", 0, 2, 2.5)
    return screen.getvalue()


def test_on_a_terminal_a_stage_has_its_epochs_and_its_loss() -> None:
    said = _drawn(is_terminal=True)
    assert "loo: tuning" in said
    assert "epoch 1 of 2 at most, loss 2.500" in said
    # half of the bar's 40 places are done
    assert "loo: tuning " + "━" * 20 + " " * 20 in said


def test_elsewhere_and_where_another_process_speaks_nothing_is_drawn() -> None:
    assert _drawn(is_terminal=False) == ""
    assert _drawn(is_terminal=True, is_shown=False) == ""
