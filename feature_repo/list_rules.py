"""What an editor declares of lists: weights, caps, maturity limits, what is finished, pins.

In: a YAML file (`list_rules.yml`, or the one that MARQUEE_LIST_RULES_FILE names), where each field is explained. Out: a
checked `ListRules`.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from feature_repo import composition
from marquee.errors import MarqueeError
from marquee.yaml_files import ConfigFile, Strict

AgeBand = Literal["under_25", "25_34", "35_44", "45_54", "55_plus", "unknown"]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Place = Annotated[int, Field(ge=1, le=100)]
# no rating is for an older age
NO_LIMIT = 1_000


class ListRulesError(MarqueeError):
    """The file of the rules for lists is missing or wrong, or a rating is none of it."""


_FILE = ConfigFile("MARQUEE_LIST_RULES_FILE", "feature_repo/list_rules.yml", ListRulesError)


class WeightRules(Strict):
    diversity: Share = 0.0
    calibration: Share = 0.0

    @model_validator(mode="after")
    def _leave_relevance(self) -> Self:
        if self.diversity + self.calibration > 1:
            raise ValueError(f"diversity {self.diversity} and calibration {self.calibration} must add up to at most 1")
        return self


class CapRule(Strict):
    content_type: Literal["video", "article", "podcast"]
    at_most: Annotated[int, Field(ge=0)]
    of_first: Place


class MaturityRules(Strict):
    ages: dict[Text, Annotated[int, Field(ge=0, le=99)]] = Field(default_factory=dict)
    age_bands: dict[AgeBand, Text] = Field(default_factory=dict)
    segments: dict[Text, Text] = Field(default_factory=dict)
    shows_unrated: bool = False

    @model_validator(mode="after")
    def _ratings_are_known(self) -> Self:
        for rating in self.ages:
            # as the marts have them
            if rating != rating.strip().upper():
                raise ValueError(f"ages: write {rating!r} as {rating.strip().upper()!r}")
        for name, rating in (*self.age_bands.items(), *self.segments.items()):
            if rating not in self.ages:
                raise ValueError(f"{name}: {rating!r} is none of the ratings in ages: {', '.join(self.ages)}")
        return self

    def age_of(self, rating: str) -> int:
        """The age that a rating is for.

        Raises:
            ListRulesError: the rules do not know it.
        """
        age = self.ages.get(rating.strip().upper())
        if age is None:
            raise ListRulesError(f"{rating!r} is no known rating; use one of {', '.join(self.ages)}")
        return age

    def age_limit(self, age_band: str | None, segments: Sequence[str], asked: int | None) -> int:
        """Up to which age ratings may be shown: the lowest of what is declared and `asked`; NO_LIMIT without any."""
        limits = [] if asked is None else [asked]
        limits += [self.ages[rating] for band, rating in self.age_bands.items() if band == age_band]
        limits += [self.ages[rating] for segment, rating in self.segments.items() if segment in segments]
        return min(limits, default=NO_LIMIT)

    def lowest_limit(self, asked: int | None) -> int:
        """The limit of somebody of whom nothing could be read: that of whoever may see least."""
        declared = [self.ages[rating] for rating in (*self.age_bands.values(), *self.segments.values())]
        return min([*declared, *([] if asked is None else [asked])], default=NO_LIMIT)


class ConsumedRules(Strict):
    finished_from: Share = 0.9
    given_up_returns_after_days: Annotated[int, Field(ge=1, le=36_500)] | None = None


class Pin(Strict):
    """A content that stands at `place` of the lists of `surfaces` from `start` until just before `until`."""

    content_id: Text
    place: Place
    surfaces: Annotated[tuple[Text, ...], Field(min_length=1)]
    start: AwareDatetime = Field(alias="from")
    until: AwareDatetime
    segment: Text | None = None
    reason: Text = "picked by our editors"

    @model_validator(mode="after")
    def _ends_later(self) -> Self:
        if self.until <= self.start:
            raise ValueError(f"until {self.until.isoformat()} must be after from {self.start.isoformat()}")
        return self

    def stands(self, surface: str, now: datetime, segments: Sequence[str]) -> bool:
        """Whether it is to be shown to a member of `segments`."""
        is_for = self.segment is None or self.segment in segments
        return is_for and surface in self.surfaces and self.start <= now < self.until


class ListRules(Strict):
    """See list_rules.yml, where each field is explained. Without any, lists are the ranker's."""

    weights: WeightRules = WeightRules()
    caps: tuple[CapRule, ...] = ()
    maturity: MaturityRules = MaturityRules()
    consumed: ConsumedRules = ConsumedRules()
    pins: tuple[Pin, ...] = ()

    @model_validator(mode="after")
    def _pins_have_places_of_their_own(self) -> Self:
        for number, pin in enumerate(self.pins):
            for other in self.pins[:number]:
                is_same = pin.place == other.place and pin.segment == other.segment
                if is_same and set(pin.surfaces) & set(other.surfaces) and _overlap(pin, other):
                    raise ValueError(
                        f"{pin.content_id} and {other.content_id} are both pinned at place {pin.place} of a surface at "
                        "the same time; move one or end it"
                    )
        return self

    @property
    def list_weights(self) -> composition.Weights:
        return composition.Weights(self.weights.diversity, self.weights.calibration)

    @property
    def list_caps(self) -> tuple[composition.Cap, ...]:
        return tuple(composition.Cap(cap.content_type, cap.at_most, cap.of_first) for cap in self.caps)

    def pins_of(self, surface: str, now: datetime, segments: Sequence[str]) -> Iterator[Pin]:
        """What is pinned on a surface now, those of a segment first: where two share a place, the first stands."""
        standing = [pin for pin in self.pins if pin.stands(surface, now, segments)]
        yield from sorted(standing, key=lambda pin: pin.segment is None)


def load_list_rules(path: Path) -> ListRules:
    """Read and check the rules.

    Raises:
        ListRulesError: the file is missing, is no YAML, or a field of it is wrong; names the field and the value.
    """
    return _FILE.read(path, ListRules)


def _overlap(one: Pin, other: Pin) -> bool:
    return one.start < other.until and other.start < one.until
