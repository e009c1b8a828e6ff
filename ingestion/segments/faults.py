"""Faults of a segment file: each with file, line, place, value and remedy, all of them at once."""

from collections.abc import Iterable
from difflib import get_close_matches

from ingestion.tracking_plan.located_yaml import LocatedYaml, Place
from marquee.errors import MarqueeError

_LONGEST_SHOWN = 60


class SegmentError(MarqueeError):
    """A segment is declared wrongly, or is not there; a file's faults stand a line each."""


class Faults:
    """Collects what is wrong in one file."""

    def __init__(self, file: LocatedYaml, root: Place) -> None:
        """`root` is what places are shown without."""
        self._file = file
        self._root = root
        self._lines: list[tuple[int, str]] = []

    def add(self, place: Place, problem: str, remedy: str) -> None:
        """Note a fault at `place` of the file."""
        line = self._file.line_of(place)
        shown = ".".join(str(part) for part in place[len(self._root) :]) or "the file"
        self._lines.append((line, f"{self._file.path}:{line}: {shown}: {problem}; {remedy}"))

    def raise_if_any(self) -> None:
        """Raise a SegmentError with every fault, in the order of the file."""
        if self._lines:
            raise SegmentError("\n".join(text for _, text in sorted(self._lines)))


def shown(value: object) -> str:
    """A value of a file as a message shows it."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def nearest(word: object, known: Iterable[str]) -> str:
    """The remedy for a word that is not among `known`."""
    words = sorted(known)
    close = get_close_matches(str(word), words, n=1)
    return f"did you mean {close[0]}?" if close else f"take one of {', '.join(words)}"
