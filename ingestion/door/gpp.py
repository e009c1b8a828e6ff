"""The opt-outs in a GPP string: which sections it has, and whether the person opted out of sale or sharing.

In: a string of IAB Tech Lab's Global Privacy Platform. Out: `GppSignals`. Read are the header, the United States'
sections (national and states), the GPC subsection, the older US Privacy section, and, left as it is, the TCF section.
https://github.com/InteractiveAdvertisingBureau/Global-Privacy-Platform/blob/main/Core/Consent%20String%20Specification.md
"""

from collections.abc import Iterator
from dataclasses import dataclass

_ALPHABET = {
    character: number
    for number, character in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}
_HEADER_TYPE, _HEADER_VERSION = 3, 1
_TCF_EU, _TCF_CANADA, _US_PRIVACY, _US_NATIONAL, _LAST_KNOWN = 2, 5, 6, 7, 22
_OPTED_OUT, _DID_NOT_OPT_OUT = 1, 2
_GPC_SUBSECTION = 1
_MOST_SECTIONS = 100

# Where a section's answers about sale, sharing and targeted advertising begin and how many they are: six bits of
# version, then two bits a field, notices first.
_NATIONAL = (6 + 2 * 6, 3)
_THREE_NOTICES = (6 + 2 * 3, 2)
_FOUR_NOTICES = (6 + 2 * 4, 2)
_UTAH, _IOWA = 11, 18


class UnreadableGppError(ValueError):
    """A text that is no GPP string."""


@dataclass(frozen=True)
class GppSignals:
    """What a GPP string says about sale and sharing.

    Attributes:
        is_opted_out: True opted out, False did not, None where no section speaks about it. A section that is not known
            here may hold an opt-out, and counts as one.
        has_gpc: whether a section carries the Global Privacy Control.
        tcf: the TCF string of its European section.
    """

    is_opted_out: bool | None
    has_gpc: bool
    tcf: str | None


def read_gpp(text: str) -> GppSignals:
    """Decode the parts of a GPP string that permission depends on.

    Raises:
        UnreadableGppError: it is none.
    """
    header, *sections = text.split("~")
    numbers = _section_numbers(header)
    if len(numbers) != len(sections):
        raise UnreadableGppError(f"the header names {len(numbers)} sections, and {len(sections)} follow")
    answers: list[bool] = []
    has_gpc = False
    tcf = None
    for number, section in zip(numbers, sections, strict=True):
        if number == _TCF_EU:
            tcf = section
        elif number == _US_PRIVACY:
            answers += _us_privacy(section)
        elif _US_NATIONAL <= number <= _LAST_KNOWN:
            core, *subsections = section.split(".")
            answers += _opt_outs(number, core)
            has_gpc |= any(_is_gpc(part) for part in subsections)
        elif number != _TCF_CANADA:
            answers.append(True)
    return GppSignals(any(answers) if answers else None, has_gpc, tcf)


def _section_numbers(header: str) -> list[int]:
    bits = _bits(header)
    if _number(bits, 0, 6) != _HEADER_TYPE or _number(bits, 6, 6) != _HEADER_VERSION:
        raise UnreadableGppError("it has no header of version 1")
    return list(_ranges(_number(bits, 12, 12), iter(bits[24:])))


def _ranges(count: int, bits: Iterator[str]) -> Iterator[int]:
    last = 0
    found = 0
    for _ in range(count):
        is_range = _next_bit(bits) == "1"
        first = last + _fibonacci(bits)
        last = first + _fibonacci(bits) if is_range else first
        found += last - first + 1
        if found > _MOST_SECTIONS:
            raise UnreadableGppError(f"the header names more than {_MOST_SECTIONS} sections")
        yield from range(first, last + 1)


def _fibonacci(bits: Iterator[str]) -> int:
    """The next integer in Fibonacci coding, which ends with two ones in a row."""
    value, weight, next_weight, before = 0, 1, 2, "0"
    while True:
        bit = _next_bit(bits)
        if bit == "1" == before:
            return value
        if bit == "1":
            value += weight
        weight, next_weight, before = next_weight, weight + next_weight, bit


def _next_bit(bits: Iterator[str]) -> str:
    try:
        return next(bits)
    except StopIteration:
        raise UnreadableGppError("the header ends too early") from None


def _opt_outs(number: int, core: str) -> list[bool]:
    start, count = _THREE_NOTICES
    if number == _US_NATIONAL:
        start, count = _NATIONAL
    elif number in (_UTAH, _IOWA):
        start, count = _FOUR_NOTICES
    bits = _bits(core)
    answers = [_number(bits, start + 2 * place, 2) for place in range(count)]
    return [answer == _OPTED_OUT for answer in answers if answer in (_OPTED_OUT, _DID_NOT_OPT_OUT)]


def _is_gpc(subsection: str) -> bool:
    bits = _bits(subsection)
    return _number(bits, 0, 2) == _GPC_SUBSECTION and bits[2:3] == "1"


def _us_privacy(section: str) -> list[bool]:
    # "1YNN": version, notice, opt-out of sale, covered transaction
    if len(section) != 4 or section[0] != "1":
        raise UnreadableGppError("its US Privacy section is none")
    answer = section[2].upper()
    return [answer == "Y"] if answer in ("Y", "N") else []


def _bits(text: str) -> str:
    try:
        return "".join(f"{_ALPHABET[character]:06b}" for character in text.rstrip("="))
    except KeyError as error:
        raise UnreadableGppError(f"it holds {error.args[0]!r}, which is no base64url") from None


def _number(bits: str, start: int, length: int) -> int:
    if len(bits) < start + length:
        raise UnreadableGppError("a section ends too early")
    return int(bits[start : start + length], 2)
