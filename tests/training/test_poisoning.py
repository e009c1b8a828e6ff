"""Poison in a training set is found and set aside, and nothing else is: what is kept is the clean set, row by row."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquee.settings import Settings
from training import dataset, gate
from training.poisoning import CleanedFeatures, sift
from training.ranking_features import LoggedFeatures
from training.thresholds import BatchThresholds, load_thresholds

LIMITS = load_thresholds(Settings.model_fields["gate_file"].default).batch
START = pd.Timestamp("2026-03-02 00:30", tz="UTC")
CONTENTS = [f"c{n:03}" for n in range(400)]


def log_of(subscriber_id: str, contents: list[str], start: pd.Timestamp, seconds: float) -> pd.DataFrame:
    moments = start + pd.to_timedelta(np.arange(len(contents)) * seconds, unit="s")
    return pd.DataFrame(
        {"subscriber_id": subscriber_id, "content_id": contents, "occurred_at": moments, "watched_fraction": 0.9,
         "device_type": "web", "is_simulated": False}
    )  # fmt: skip


def clean_log(people: int = 80) -> pd.DataFrame:
    """People as in MovieLens: they rate for an evening, some of them 390 films in an hour, and come back."""
    numbers = np.random.default_rng(4)
    frames = []
    for person in range(people):
        count = 390 if person % 20 == 0 else int(numbers.integers(20, 120))
        chosen, left = np.split(numbers.permutation(CONTENTS), [count])
        start = START + pd.Timedelta(days=int(numbers.integers(0, 60)))
        frames.append(log_of(f"s{person:03}", chosen.tolist(), start, 8))
        again = [*chosen[:3], left[0]]
        frames.append(log_of(f"s{person:03}", again, start + pd.Timedelta(days=1), 3600))
    return in_time(*frames)


def in_time(*frames: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(frames).sort_values(["occurred_at", "subscriber_id"], kind="stable").reset_index(drop=True)


CLEAN = clean_log()


def doubled() -> pd.DataFrame:
    return CLEAN.sample(300, random_state=1)


def a_million_plays() -> pd.DataFrame:
    return log_of("flooder", ["c007"] * 1_000_000, START, 1)


def a_million_plays_of_a_known_subscriber() -> pd.DataFrame:
    return log_of("s001", ["c007"] * 1_000_000, START + pd.Timedelta(days=100), 1)


def a_bot() -> pd.DataFrame:
    return log_of("bot", CONTENTS * 10, START, 2)


def a_patient_bot() -> pd.DataFrame:
    return log_of("patient", CONTENTS * 10, START, 30)


def a_farm() -> pd.DataFrame:
    return pd.concat([log_of(f"farm{n}", CONTENTS[:30], START + pd.Timedelta(hours=n), 300) for n in range(40)])


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        (doubled, "duplicate"),
        (a_million_plays, "rate"),
        (a_million_plays_of_a_known_subscriber, "rate"),
        (a_bot, "rate"),
        (a_patient_bot, "rate"),
        (a_farm, "in_step"),
    ],
)
def test_a_poisoned_log_teaches_what_the_clean_one_does(plant: Callable[[], pd.DataFrame], reason: str) -> None:
    poison = plant()
    sifted = sift(in_time(CLEAN, poison), LIMITS)
    pd.testing.assert_frame_equal(sifted.kept, CLEAN)
    assert sifted.aside["reason"].value_counts().to_dict() == {reason: len(poison)}


def test_a_clean_log_is_left_as_it_is() -> None:
    sifted = sift(CLEAN, LIMITS)
    pd.testing.assert_frame_equal(sifted.kept, CLEAN)
    assert sifted.aside.empty
    assert all(check.outcome == "pass" for check in gate.batch_checks(sifted, None, LIMITS))


def test_slow_floods_are_capped_by_the_day_and_in_all() -> None:
    # every five minutes until midnight a hundred days later: ten plays a day count, and six in the last half hour
    slow = sift(in_time(CLEAN, log_of("loop", ["c007"] * 28_800, START, 300)), LIMITS)
    assert (slow.kept["subscriber_id"] == "loop").sum() == 10 * 100 + 6
    assert set(slow.aside["reason"]) == {"repeats"}
    wide = sift(log_of("wide", CONTENTS * 30, START, 300), LIMITS)
    assert len(wide.kept) == LIMITS.plays_of_one_subscriber
    assert wide.kept["occurred_at"].min() > wide.aside["occurred_at"].max(), "the newest count"


def test_few_accounts_in_step_are_people_who_watch_a_series() -> None:
    many = LIMITS.accounts_in_step
    fans = [log_of(f"fan{n}", CONTENTS[:30], START + pd.Timedelta(hours=n), 300) for n in range(many)]
    assert sift(in_time(CLEAN, *fans[1:]), LIMITS).aside.empty
    assert sift(in_time(CLEAN, *fans), LIMITS).aside["subscriber_id"].nunique() == many


@pytest.mark.parametrize("plant", [doubled, a_million_plays, a_bot, a_farm])
def test_a_batch_with_much_of_it_is_rejected_with_numbers(plant: Callable[[], pd.DataFrame]) -> None:
    poison = plant()
    sifted = sift(in_time(CLEAN, poison), LIMITS)
    rejecting = [check for check in gate.batch_checks(sifted, None, LIMITS) if check.outcome == "reject"]
    assert [check.subject for check in rejecting] == ["training set"]
    share = len(poison) / (len(CLEAN) + len(poison))
    assert rejecting[0].value == pytest.approx(share)
    assert f"poisoned batch: {len(poison):,} of {len(CLEAN) + len(poison):,}" in rejecting[0].detail


def test_what_is_little_of_all_may_be_much_of_what_is_new() -> None:
    since = datetime(2026, 6, 1, tzinfo=UTC)
    old = pd.concat([clean_log().assign(subscriber_id=lambda f, n=n: f["subscriber_id"] + f"-{n}") for n in range(9)])
    new = [log_of(f"s{n:03}", CONTENTS[n : n + 30], pd.Timestamp(since) + pd.Timedelta(hours=n), 60) for n in range(9)]
    doubled_news = pd.concat([*new, new[0]])
    found = gate.batch_checks(sift(in_time(old, doubled_news), LIMITS), since, LIMITS)
    outcomes = {check.subject: check.outcome for check in found if check.metric == "set_aside_share"}
    assert outcomes == {"training set": "pass", "new since the champion": "reject"}


@st.composite
def logs(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.sampled_from(CONTENTS[:4]), st.integers(0, 400_000)),
            min_size=1, max_size=80,
        )
    )  # fmt: skip
    frame = pd.DataFrame(rows, columns=["subscriber_id", "content_id", "second"]).sort_values("second", kind="stable")
    moments = START + pd.to_timedelta(frame.pop("second"), unit="s")
    return frame.assign(occurred_at=moments).reset_index(drop=True)


TIGHT = BatchThresholds(
    plays_an_hour=3, plays_a_day=9, plays_of_one_content_a_day=2, plays_of_one_subscriber=20, accounts_in_step=2,
    contents_in_step=3, set_aside_share=LIMITS.set_aside_share, least_new_interactions=1,
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(logs())
def test_every_row_is_on_one_side_and_what_is_kept_holds_every_limit(log: pd.DataFrame) -> None:
    sifted = sift(log, TIGHT)
    both = pd.concat([sifted.kept, sifted.aside.drop(columns="reason")])
    columns = list(log.columns)
    pd.testing.assert_frame_equal(
        both.sort_values(columns).reset_index(drop=True), log.sort_values(columns).reset_index(drop=True)
    )
    assert sift(sifted.kept, TIGHT).aside.empty
    assert sifted.kept["occurred_at"].is_monotonic_increasing
    # ids as the warehouse's extract has them
    encoded = sift(log.astype({"subscriber_id": "category", "content_id": "category"}), TIGHT)
    for ours, theirs in ((encoded.kept, sifted.kept), (encoded.aside, sifted.aside)):
        assert ours["content_id"].dtype == "category"
        pd.testing.assert_frame_equal(ours.astype(theirs.dtypes), theirs)


def test_the_store_s_counts_lose_what_was_set_aside() -> None:
    catalogue = pd.DataFrame(
        {"content_id": CONTENTS, "content_type": "video", "title": "", "published_at": START, "is_simulated": False,
         "genre_vector": [[float(n % 2), float(n % 3 == 0)] for n in range(len(CONTENTS))]}
    )  # fmt: skip
    poison = pd.concat([doubled(), a_bot(), a_million_plays_of_a_known_subscriber().head(5_000)])
    poisoned = in_time(CLEAN, poison)
    sifted = sift(poisoned, LIMITS)
    log, contents = dataset.read_frames(sifted.kept, catalogue)
    split = dataset.leave_last_out(log)
    candidates = np.tile(np.arange(1, 40), (len(split.users), 1))
    # the store has counted everything; a log says the same as the store (test_pipeline.py)
    everything, _ = dataset.read_frames(poisoned, catalogue)
    number = {subscriber_id: user for user, subscriber_id in enumerate(everything.subscriber_ids)}
    stored = _Renumbered(LoggedFeatures(everything, contents), number)
    cleaned, clean = CleanedFeatures.of(stored, sifted, catalogue), LoggedFeatures(log, contents)
    assert (stored.candidates(split, candidates).counts != clean.candidates(split, candidates).counts).any()
    np.testing.assert_array_equal(
        cleaned.candidates(split, candidates).counts, clean.candidates(split, candidates).counts
    )
    assert cleaned.subscribers(split) == clean.subscribers(split)
    assert CleanedFeatures.of(stored, sift(CLEAN, LIMITS), catalogue) is stored


class _Renumbered:
    """A log's features for splits that number subscribers in another way."""

    def __init__(self, features: LoggedFeatures, number: dict[str, int]) -> None:
        self._features = features
        self._number = number

    def subscribers(self, split: dataset.Split) -> list:
        users = np.array([self._number[split.train.subscriber_ids[user]] for user in split.users])
        return self._features.subscribers(replace(split, users=users))

    def candidates(self, split: dataset.Split, candidates: np.ndarray):
        return self._features.candidates(split, candidates)
