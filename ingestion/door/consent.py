"""What a call says about consent: Segment's preferences, IAB strings and Global Privacy Control, as one answer.

In: a call's context, and whether the request carried Sec-GPC. Out: `Said`: which purposes are granted and refused. Of
several signals about one purpose the strictest counts; a string that cannot be read refuses what it could have granted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import iab_tcf
import orjson

from ingestion.door.gpp import UnreadableGppError, read_gpp
from ingestion.door.policy import PURPOSES, DoorPolicy, TcfRule
from ingestion.tracking_plan.definitions import Purpose

_BIT: Mapping[str, int] = {purpose: 1 << place for place, purpose in enumerate(PURPOSES)}
_LONGEST_STRING = 20_000
_CACHED_STRINGS = 20_000
# what is longer is worked out each time: the memory of what is kept has a bound
_LONGEST_KEPT = 4_000
_NO_CONTEXT: Mapping[str, object] = {}


class UnreadableConsentError(ValueError):
    """The consent object of a call is none; has the field, its value, and the reason."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(field, value, reason)
        self.field, self.value, self.reason = field, value, reason


@dataclass(frozen=True, slots=True)
class Said:
    """One answer about every purpose, as a bit a purpose in the order of `PURPOSES`.

    Attributes:
        is_anything: False where the call says nothing about consent at all.
        signals: JSON for raw.events.consent_signals: the strings, GPC, and what is refused; None when nothing is said.
    """

    granted: int
    refused: int
    has_gpc: bool
    is_anything: bool
    signals: str | None


NOTHING_SAID = Said(0, 0, False, False, None)


class ConsentReader:
    """Reads consent by a policy. Answers are kept by what was said: most people say the same again and again."""

    def __init__(self, policy: DoorPolicy) -> None:
        self._bits = dict(_BIT)
        self._bits |= {name: _BIT[purpose] for name, purpose in policy.categories.items()}
        self._tcf_rules = policy.tcf
        self._opted_out = _mask(policy.opt_out_of_sale_refuses)
        self._read_tcf = lru_cache(_CACHED_STRINGS)(self._decode_tcf)
        self._read_gpp = lru_cache(_CACHED_STRINGS)(self._decode_gpp)
        self._answer_text = lru_cache(_CACHED_STRINGS)(self._read_text)
        self._only_gpc = self._combined(0, 0, None, None, True)

    def read(self, context: Mapping[str, object], has_gpc: bool) -> Said:
        """The answer of a call.

        Raises:
            UnreadableConsentError: context.consent is not what Segment's specification says.
        """
        consent = context.get("consent")
        if "gpc" in context:
            has_gpc = has_gpc or _is_on(context["gpc"])
        if consent is None:
            return self._only_gpc if has_gpc else NOTHING_SAID
        text = _text_of(consent)
        return self._answer(consent, has_gpc) if text is None else self._answer_text(text, has_gpc)

    def _read_text(self, text: bytes, has_gpc: bool) -> Said:
        return self._answer(orjson.loads(text), has_gpc)

    def _answer(self, consent: object, has_gpc: bool) -> Said:
        if not isinstance(consent, dict):
            raise UnreadableConsentError("context.consent", consent, "is not an object")
        granted, refused = self._preferences(consent)
        tcf = _text(consent, "tcf", "tcString")
        gpp = _text(consent, "gpp", "gppString")
        if "gpc" in consent:
            has_gpc = has_gpc or _is_on(consent["gpc"])
        return self._combined(granted, refused, tcf, gpp, has_gpc)

    def _preferences(self, consent: Mapping[str, object]) -> tuple[int, int]:
        preferences = consent.get("categoryPreferences")
        granted = refused = 0
        if preferences is None:
            return 0, 0
        if not isinstance(preferences, dict):
            raise UnreadableConsentError("context.consent.categoryPreferences", preferences, "is not an object")
        for name, is_granted in preferences.items():
            bit = self._bits.get(name, 0)
            if is_granted is True:
                granted |= bit
            elif is_granted is False:
                refused |= bit
            else:
                field = f"context.consent.categoryPreferences.{name}"
                raise UnreadableConsentError(field, is_granted, "is neither true nor false")
        return granted, refused

    def _combined(self, granted: int, refused: int, tcf: str | None, gpp: str | None, has_gpc: bool) -> Said:
        signals: dict[str, object] = {}
        if gpp is not None:
            signals["gpp"] = gpp
            decode_gpp = self._read_gpp if len(gpp) <= _LONGEST_KEPT else self._decode_gpp
            more_granted, more_refused, gpp_has_gpc, inner_tcf = decode_gpp(gpp)
            granted, refused, has_gpc = granted | more_granted, refused | more_refused, has_gpc or gpp_has_gpc
            tcf = inner_tcf if tcf is None else tcf
        if tcf is not None:
            signals["tcf"] = tcf
            decode_tcf = self._read_tcf if len(tcf) <= _LONGEST_KEPT else self._decode_tcf
            more_granted, more_refused = decode_tcf(tcf)
            granted, refused = granted | more_granted, refused | more_refused
        if has_gpc:
            signals["gpc"] = True
            refused |= self._opted_out
        if refused:
            signals["refused"] = list(purposes_of(refused))
        granted &= ~refused
        is_anything = bool(granted or refused)
        return Said(granted, refused, has_gpc, is_anything, orjson.dumps(signals).decode() if signals else None)

    def _decode_gpp(self, text: str) -> tuple[int, int, bool, str | None]:
        """Granted, refused, GPC, and the TCF string within."""
        try:
            signals = read_gpp(_bounded(text))
        except UnreadableGppError:
            return 0, self._opted_out, False, None
        if signals.is_opted_out is None:
            return 0, 0, signals.has_gpc, signals.tcf
        granted, refused = (0, self._opted_out) if signals.is_opted_out else (self._opted_out, 0)
        return granted, refused, signals.has_gpc, signals.tcf

    def _decode_tcf(self, text: str) -> tuple[int, int]:
        """Granted and refused among the purposes that the policy maps."""
        known = _mask(self._tcf_rules)
        try:
            decoded = iab_tcf.decode(_bounded(text))
        # the library says what is wrong by whichever error it meets
        except Exception:
            return 0, known
        if not isinstance(decoded, iab_tcf.ConsentV2):
            # version 1 ended in August 2020
            return 0, known
        granted = _mask(purpose for purpose, rule in self._tcf_rules.items() if _is_met(rule, decoded))
        return granted, known & ~granted


def _text_of(consent: object) -> bytes | None:
    """JSON of a consent object, by which its answer is kept; None where that would not say all, or is too long."""
    try:
        text = orjson.dumps(consent)
    except (orjson.JSONEncodeError, RecursionError):
        return None
    # what is not finite is written as null too
    return None if len(text) > _LONGEST_KEPT or b"null" in text else text


def purposes_of(mask: int) -> tuple[Purpose, ...]:
    """The purposes whose bits are set, in the order of `PURPOSES`."""
    return tuple(purpose for purpose in PURPOSES if mask & _BIT[purpose])


def _mask(purposes: Iterable[Purpose]) -> int:
    mask = 0
    for purpose in purposes:
        mask |= _BIT[purpose]
    return mask


def _is_met(rule: TcfRule, decoded: "iab_tcf.ConsentV2") -> bool:
    return all(
        # where purpose 1 is not asked for, the law of the publisher's country says so
        decoded.is_purpose_allowed(number) or (number == 1 and decoded.purpose_one_treatment)
        for number in rule.consents
    ) and all(
        decoded.is_purpose_allowed(number) or decoded.has_purpose_legitimate_interest(number)
        for number in rule.or_legitimate_interest
    )


def _is_on(value: object) -> bool:
    return value is True or value == 1 or value == "1"


def _bounded(text: str) -> str:
    # longer than any real one: decoding it would take longer than the event is worth
    return text if len(text) <= _LONGEST_STRING else ""


def _text(consent: Mapping[str, object], *names: str) -> str | None:
    for name in names:
        value = consent.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            raise UnreadableConsentError(f"context.consent.{name}", value, "is no consent string")
        return value
    return None
