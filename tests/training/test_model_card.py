"""The model card: what it says, and how it is read in real Chromium by eye, by keyboard and by a screen reader."""

import xml.etree.ElementTree as ElementTree
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, expect

from feature_repo.profile_codes import PROFILE_COLUMNS
from marquee.settings import Settings
from tests.training.versions import NOW
from training import charts
from training.charts import LossPoint
from training.evaluation import MetricRow
from training.manifest import Manifest
from training.model_card import DataSummary, render
from training.pipeline import _parameters
from training.segments import SegmentRow, Segments

_SVG = "{http://www.w3.org/2000/svg}"
_DATA = DataSummary(103_249, 6_564, 928, 928, {"article": (120, 120), "video": (1_680, 0)})
_LOSSES = [LossPoint("loo: towers", epoch, 8.0 - epoch / 2) for epoch in range(5)] + [LossPoint("loo: tuning", 0, 5.9)]
_SEGMENTS = Segments(
    [
        SegmentRow("age_band", "under_25", 217, 0.12, 0.09, 0.15, 0.05),
        SegmentRow("age_band", "25_34", 288, 0.04, 0.02, 0.06, 0.05),
        SegmentRow("occupation", "<script>alert(1)</script>", 4, None, None, None, None),
    ],
    {"gender": (0.95, 0.73), "age_band": (0.33, 0.72)},
    0.79,
    30,
)


def _card(
    data: DataSummary = _DATA,
    revision: str | None = "c0ffee-dirty",
    profile_columns: str = "age_band, gender, occupation, region",
) -> str:
    metrics = (
        [
            MetricRow(protocol, model, metric, 10, value, value - 0.01, value + 0.01, 903)
            for protocol in ("loo", "temporal")
            for model, value in (("item_knn", 0.0524), ("marquee", 0.1110), ("marquee_composed", 0.1105))
            for metric in ("ndcg", "recall", "mrr")
        ]
        + [
            MetricRow(protocol, model, "coverage", 10, 0.39, None, None, 903)
            for protocol in ("loo", "temporal")
            for model in ("item_knn", "marquee", "marquee_composed")
        ]
        + [
            MetricRow("temporal", "marquee", f"return_{name}", 100, value, None, None, 903)
            for name, value in (("ece", 0.01234), ("brier", 0.2), ("base_brier", 0.22), ("auc", 0.7))
        ]
    )
    manifest = Manifest(
        model_version="20261124T110000-0badcafe", trained_at=NOW, data_from=NOW - timedelta(days=200), data_until=NOW,
        code_version="0123456789ab", source_revision=revision, run_key="scheduled__1", seed=7,
        parameters={
            "embedding_size": 64, "profile_columns": profile_columns, "ranker_finish_share": 0.9,
            "ranker_return_days": 7,
        },
        sequence_length=50, embedding_size=64, ranker_features=("popularity_7d",),
        candidate_count=100, files={},
    )  # fmt: skip
    return render(manifest, metrics, _SEGMENTS, _LOSSES, data)


def test_what_is_simulated_is_said_and_only_then() -> None:
    assert "928 of the 928 subscribers are simulated" in _card()
    own = _card(DataSummary(5_000, 0, 300, 0, {"video": (90, 0)}))
    assert "imulated data." not in own
    assert "MovieLens" not in own


def test_it_says_where_it_fails_and_how_to_make_it_again() -> None:
    card = " ".join(_card().split())
    assert "79% of the measured subscribers did not find" in card
    assert "weakest for <em>age band: 25 to 34</em>" in card
    assert "item-kNN has the higher mean for <em>age band: 25 to 34</em> (0.0400 against 0.0500)" in card
    assert "uneven: below 0.8" in card
    assert "git checkout c0ffee MARQUEE_SEED=7 marquee models train --as-of 2026-11-24T12:00:00+00:00" in card
    assert "git checkout" not in _card(revision=None)


@pytest.mark.parametrize(
    ("profile_columns", "said", "without_history"),
    [
        (
            "age_band, gender, occupation, region",
            "the subscriber tower reads age band, gender, occupation and region, as they were when it was trained, and "
            "as they are at a request; a value of too few subscribers counts as unknown. Plan and lifecycle stage are "
            "no inputs of the model. All of them",
            "gets a list by age band, gender, occupation and region alone, as far as they are known",
        ),
        (
            "region",
            "the subscriber tower reads region, as they were",
            "gets a list by region alone, as far as they are known",
        ),
        (
            "",
            "<p>Age band, gender, region, plan, lifecycle stage and occupation are no inputs of the model. All of them",
            "gets what is popular.</li>",
        ),
    ],
)
def test_it_says_what_of_a_profile_is_an_input(profile_columns: str, said: str, without_history: str) -> None:
    card = " ".join(_card(profile_columns=profile_columns).split())
    assert said in card
    assert f"A subscriber without history {without_history}" in card
    assert ("the subscriber tower reads" in card) is bool(profile_columns)


def test_the_profile_columns_as_shipped_are_those_that_it_names() -> None:
    assert str(_parameters(Settings())["profile_columns"]).split(", ") == list(PROFILE_COLUMNS)


def test_it_says_what_joins_the_candidates_and_what_comes_after_the_order() -> None:
    card = " ".join(_card().split())
    assert (
        "100 candidates. Up to 50 of the last seven days' most consumed and 25 of the newest of the last 7 days" in card
    )
    composed = (
        "composed from it afterwards (<code>docs/list-rules.md</code>): <code>marquee composed</code> has its weights"
    )
    assert composed in card
    assert "the system that serves" not in card


def test_it_says_how_true_the_probabilities_are_of_what_it_foresees() -> None:
    card = " ".join(_card().split())
    assert "returns on a later day, within 7." in card
    assert '<th scope="row">Temporal</th><td>return</td><td class="number">0.01234</td>' in card
    assert "<td>finish</td>" not in card


def test_what_the_data_says_is_text_and_never_markup() -> None:
    assert "<script" not in _card()


@given(
    st.lists(st.floats(0.01, 50, allow_nan=False), min_size=1, max_size=9),
    st.lists(st.integers(1, 20), min_size=9, max_size=9),
)
def test_every_loss_curve_lies_in_its_chart_and_no_name_covers_another(losses: list[float], lengths: list[int]) -> None:
    points = [
        LossPoint(f"split {number % 3}: stage {number}", epoch, loss / (epoch + 1))
        for number, loss in enumerate(losses)
        for epoch in range(lengths[number])
    ]
    svg = ElementTree.fromstring(
        charts.loss_curves(points).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    )
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    for line in svg.iter(f"{_SVG}polyline"):
        for place in line.attrib["points"].split():
            across, down = map(float, place.split(","))
            assert 0 <= across <= width
            assert 0 <= down <= height
    names = sorted(float(t.attrib["y"]) for t in svg.iter(f"{_SVG}text") if t.attrib["text-anchor"] == "start")
    assert len(names) == len(losses)
    assert all(later - earlier > 15 for earlier, later in pairwise(names))


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_card_reads_without_sight_on_a_phone_and_without_any_host(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    (tmp_path / "card.html").write_text(_card(), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "card.html").as_uri())
    expect(page).to_have_title("Model card 20261124T110000-0badcafe")
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert page.evaluate(
        "[...document.querySelectorAll('table')].every(t => t.caption && t.querySelector('th[scope=row]'))"
    )
    expect(page.get_by_role("img", name="Training loss by epoch: loo: towers from 8.000 to 6.000")).to_be_visible()
    expect(page.get_by_role("img", name="NDCG@10 by model, leave-last-out: marquee 0.1110")).to_be_visible()
    assert page.evaluate("[...document.querySelectorAll('svg')].every(s => s.ariaLabel || s.ariaHidden === 'true')")
    # the longest name of a model, too, lies in its chart
    assert page.evaluate(
        "[...document.querySelectorAll('svg text')].every(t => { const box = t.getBBox(); return box.x >= 0 && "
        "box.x + box.width <= t.ownerSVGElement.viewBox.baseVal.width })"
    )
    # what is wider than a phone scrolls where it stands, and the keyboard reaches it
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(s => s.tabIndex === 0 && s.ariaLabel)")
    assert [url for url in asked if not url.startswith("file:")] == []
    page.close()
