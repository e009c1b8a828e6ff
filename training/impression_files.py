"""Anyone's impressions as rounds of off-policy evaluation: Parquet files in, checked columns out.

In: what was shown, a row each, with propensity, reward and the evaluated policies' probabilities; and, where a reward
model is wanted, the choices: everything that the policies might have shown there. Out: `LoggedImpressions`. The names
of columns are those of `activation.impressions`, whose lists are unnested.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from training.column_files import ColumnFileError, read_columns, refuse_empty
from training.off_policy import LoggedRounds, OffPolicyError, Values

_CONTEXT_PREFIX = "context_"
_PLACE = ("request_id", "position")
# where the file has them
_OF_REQUESTS = ("surface", "subscriber_id")
_NEEDED = (*_PLACE, "content_id", "propensity", "reward")
# probabilities of a place add up to one, but for rounding by whoever wrote them
_ROUNDING = 1e-3


@dataclass(frozen=True)
class LoggedImpressions:
    """A file's impressions in its order.

    Attributes:
        shown: content_id, position, reward, and the columns of the context, a row a round.
        choices: round (row of `shown`), content_id, and a column a policy; None without a file of choices.
    """

    rounds: LoggedRounds
    shown: pd.DataFrame
    choices: pd.DataFrame | None


def read_impressions(path: Path, policies: Sequence[str], choices_path: Path | None = None) -> LoggedImpressions:
    """Columns of a file of impressions, and of the choices at each of its places.

    Args:
        path: request_id, position, content_id, propensity, reward, and the columns `policies`; where there are:
            surface (a request may fill several), subscriber_id (whose rounds are drawn together; without one the
            request's are), and columns `context_*` for the reward model.
        choices_path: request_id, position (and surface, where the other has it), content_id, and the columns
            `policies`, which add up to 1 at each place.

    Raises:
        ColumnFileError: a column is missing, a value is none or no number, a place is there twice, or the choices are
            not those of the impressions.
        OffPolicyError: a reward, propensity or probability is out of its range.
    """
    frame = read_columns(
        path, (*_NEEDED, *policies), lambda name: name in _OF_REQUESTS or name.startswith(_CONTEXT_PREFIX)
    )
    place = [*_PLACE, *(["surface"] if "surface" in frame else [])]
    context = [name for name in map(str, frame) if name.startswith(_CONTEXT_PREFIX)]
    _refuse_unnamed(frame, [*place, "content_id", *context], path)
    if frame.duplicated(place).any():
        row = int(frame.duplicated(place).to_numpy().argmax())
        raise ColumnFileError(
            f"{path}: row {row + 1}: {_said(frame, place, row)} was there before; write what was shown there once"
        )
    try:
        rounds = LoggedRounds(
            rewards=_numbers(frame, "reward", path),
            propensities=_numbers(frame, "propensity", path),
            clusters=_clusters(frame),
            policies={policy: _numbers(frame, policy, path) for policy in policies},
        )
    except OffPolicyError as error:
        raise OffPolicyError(f"{path}: {error}") from None
    shown = frame[["content_id", "position", "reward", *context]]
    if choices_path is None:
        return LoggedImpressions(rounds, shown, None)
    choices = _choices(choices_path, frame, place, policies)
    _refuse_contradiction(choices, frame, place, rounds.policies, choices_path)
    return LoggedImpressions(rounds, shown, choices)


def _refuse_unnamed(frame: pd.DataFrame, names: Sequence[str], path: Path) -> None:
    refuse_empty(frame, names, path)
    for name in names:
        # such as the lists of activation.impressions
        if isinstance(frame[name].iloc[0], np.ndarray | dict):
            raise ColumnFileError(f"{path}: {name} holds lists; unnest them, so that each value has a row of its own")


def _numbers(frame: pd.DataFrame, name: str, path: Path) -> Values:
    """A column as numbers; what is empty is NaN, which the estimators refuse with the remedy."""
    column = frame[name]
    # a column of which every value is empty has no type of its own
    if not pd.api.types.is_numeric_dtype(column) and column.notna().any():
        first = column[column.notna()].iloc[0]
        raise ColumnFileError(f"{path}: {name} is {first!r}, no number; write the column as numbers")
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _clusters(frame: pd.DataFrame) -> np.ndarray:
    """The number of each row's subscriber, or of its request where no subscriber is known."""
    requests = pd.factorize(frame["request_id"])[0]
    if "subscriber_id" not in frame:
        return requests
    subscribers = pd.factorize(frame["subscriber_id"])[0]
    # below any subscriber's number
    return np.where(subscribers < 0, -1 - requests, subscribers)


def _choices(path: Path, impressions: pd.DataFrame, place: list[str], policies: Sequence[str]) -> pd.DataFrame:
    frame = read_columns(path, (*place, "content_id", *policies), lambda _: False)
    names = [*place, "content_id"]
    _refuse_unnamed(frame, names, path)
    for name in names:
        if pd.api.types.is_numeric_dtype(frame[name]) != pd.api.types.is_numeric_dtype(impressions[name]):
            raise ColumnFileError(
                f"{path}: {name} is such as {_first(frame, name)}, and {_first(impressions, name)} in the impressions; "
                "write both in the same way"
            )
    frame = frame.assign(**{policy: _numbers(frame, policy, path) for policy in policies})
    is_twice = frame.duplicated(names).to_numpy()
    if is_twice.any():
        row = int(is_twice.argmax())
        raise ColumnFileError(
            f"{path}: row {row + 1}: {_said(frame, names, row)} was there before; write each choice once"
        )
    for policy in policies:
        is_wrong = ~frame[policy].between(0, 1).to_numpy()
        if is_wrong.any():
            row = int(is_wrong.argmax())
            raise ColumnFileError(
                f"{path}: row {row + 1}: {policy} is {frame[policy].iloc[row]:g}; write a probability, 0 to 1"
            )
    known = impressions[place].assign(round=np.arange(len(impressions)))
    choices = frame.merge(known, on=place)
    sums = choices.groupby("round")[list(policies)].sum().reindex(known["round"])
    for policy in policies:
        is_wrong = ~(sums[policy] - 1).abs().le(_ROUNDING).to_numpy()
        if is_wrong.any():
            row = int(is_wrong.argmax())
            total = sums[policy].iloc[row]
            there = "has no choices" if np.isnan(total) else f"has choices that add up to {total:g}"
            raise ColumnFileError(
                f"{path}: {_said(impressions, place, row)} {there}; write every content that {policy} might show "
                "there, with its probability"
            )
    return choices[["round", "content_id", *policies]]


def _refuse_contradiction(
    choices: pd.DataFrame, frame: pd.DataFrame, place: list[str], policies: Mapping[str, Values], path: Path
) -> None:
    """What the choices say of what was shown is what the impressions say of it."""
    shown = frame[["content_id"]].assign(round=np.arange(len(frame)))
    said = shown.merge(choices, on=["round", "content_id"], how="left").sort_values("round")
    for policy, values in policies.items():
        # a content that is not among the choices would not have been shown
        other = said[policy].fillna(0.0).to_numpy()
        is_wrong = np.abs(other - values) > _ROUNDING
        if is_wrong.any():
            row = int(is_wrong.argmax())
            raise ColumnFileError(
                f"{path}: {policy} is {other[row]:g} for content_id {frame['content_id'].iloc[row]} at "
                f"{_said(frame, place, row)}, and {values[row]:g} in the impressions; write the same in both"
            )


def _said(frame: pd.DataFrame, names: Sequence[str], row: int) -> str:
    return ", ".join(f"{name} {frame[name].iloc[row]}" for name in names)


def _first(frame: pd.DataFrame, name: str) -> str:
    """Quoted where it is text."""
    return repr(frame[name].head(1).tolist()[0])
