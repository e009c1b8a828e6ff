"""YAML that remembers its lines, so that an error in a file can say where.

In: a file. Out: its value, and for each place in it (`("properties", "position", "type")`) the line. A key that is
written twice is an error, where YAML itself keeps the last.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

from marquee.errors import MarqueeError

Place = tuple[str | int, ...]


class UnreadableYamlError(MarqueeError):
    """A file is no YAML; the message names file, line and remedy."""


@dataclass(frozen=True)
class LocatedYaml:
    """What a file says, and on which line (from 1) it says it."""

    path: Path
    value: object
    lines: dict[Place, int]

    def line_of(self, place: Place) -> int:
        """Line of `place`, or of the nearest thing around it that is there."""
        return next(self.lines[place[:end]] for end in range(len(place), -1, -1) if place[:end] in self.lines)


def read_located_yaml(path: Path) -> LocatedYaml:
    """Read one YAML document.

    Raises:
        UnreadableYamlError: it is no UTF-8, no YAML, empty, or has a key twice.
    """
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if node is None:
            raise UnreadableYamlError(f"{path}:1: the file is empty; write a definition, or delete it")
        lines: dict[Place, int] = {}
        _locate(node, (), lines, path)
        return LocatedYaml(path, loader.construct_document(node), lines)
    except UnicodeDecodeError as error:
        raise UnreadableYamlError(f"{path}:1: is not UTF-8 ({error}); save the file as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        raise UnreadableYamlError(f"{path}:{line}: is no YAML ({error.problem}); look at the indentation") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnreadableYamlError(f"{path}:1: is no YAML ({error})") from error


def _locate(node: yaml.Node, place: Place, lines: dict[Place, int], path: Path) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _locate(item, (*place, number), lines, path)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            inner = (*place, str(key.value))
            if inner in lines:
                raise UnreadableYamlError(f"{path}:{line}: {key.value} stands here a second time; keep one of the two")
            lines[inner] = line
            _locate(value, inner, lines, path)
