"""splink, the probabilistic peer of identity: records in, the entity of each out.

In: records as a frame with `unique_id`, and a model: how fields are compared, which pairs are looked at, from which
pairs it learns. Out: whose each record is at a threshold of match probability, and how long training and prediction
took. https://moj-analytical-services.github.io/splink/
"""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import splink.comparison_level_library as cll
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

# where a threshold is chosen: the best F1 of these on another set of the same kind
THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999)

_SAMPLED_PAIRS = 2e6


@dataclass(frozen=True)
class Model:
    """What splink is told about records.

    Attributes:
        comparisons: made anew each time, as splink keeps what it learned in them.
        predict_on, train_on: fields that must be equal for a pair to be looked at; one set of them is enough.
        sure_rules: rules of which nearly every pair is a match, from which splink takes how rare a match is.
        sure_recall: the share of matches that these rules are taken to find: splink's own examples say 0.7 to 0.8.
    """

    comparisons: Callable[[], list[object]]
    predict_on: Sequence[tuple[str, ...]]
    train_on: Sequence[tuple[str, ...]]
    sure_rules: Sequence[tuple[str, ...]]
    sure_recall: float = 0.8


@dataclass(frozen=True)
class Linked:
    """The entity of each record by threshold, and the seconds until the first of them was there."""

    entities: dict[float, dict[str, str]]
    seconds: float


def unique_field(field: str, agrees: float, agrees_by_chance: float) -> object:
    """A field that names somebody, such as an account: what is known of it is told.

    In small sets nearly all equal pairs are matches, and splink would take them for chance.

    Args:
        agrees: how often two records of one person that both have it agree in it.
        agrees_by_chance: how often two records of two people do.
    """
    return cl.CustomComparison(
        [
            cll.NullLevel(field),
            cll.ExactMatchLevel(field).configure(
                m_probability=agrees, u_probability=agrees_by_chance, fix_m_probability=True, fix_u_probability=True
            ),
            cll.ElseLevel().configure(
                m_probability=1 - agrees,
                u_probability=1 - agrees_by_chance,
                fix_m_probability=True,
                fix_u_probability=True,
            ),
        ],
        output_column_name=field,
    )


def link(records: pd.DataFrame, model: Model, thresholds: Sequence[float]) -> Linked:
    """Train on `records` themselves, without labels, and put them together at each of `thresholds`."""
    # it tells of every step
    logging.getLogger("splink").setLevel(logging.ERROR)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linker = Linker(
            DuckDBAPI().register(records),
            SettingsCreator(
                link_type="dedupe_only",
                comparisons=model.comparisons(),
                blocking_rules_to_generate_predictions=[block_on(*fields) for fields in model.predict_on],
                retain_matching_columns=False,
            ),
            log_level=None,
        )
        linker.training.estimate_probability_two_random_records_match(
            [block_on(*fields) for fields in model.sure_rules], recall=model.sure_recall
        )
        linker.training.estimate_u_using_random_sampling(max_pairs=_SAMPLED_PAIRS, seed=7)
        for fields in model.train_on:
            linker.training.estimate_parameters_using_expectation_maximisation(block_on(*fields))
        predictions = linker.inference.predict(threshold_match_probability=min(thresholds))
        entities = {}
        seconds = 0.0
        for threshold in thresholds:
            clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(predictions, threshold)
            frame = clusters.as_pandas_dataframe()
            entities[threshold] = dict(zip(frame["unique_id"], frame["cluster_id"], strict=True))
            seconds = seconds or time.perf_counter() - started
    return Linked(entities, seconds)
