"""The page of a model's verdict: what was decided, why, every figure; kept with the verdict, listed among reports."""

from pathlib import Path

import pytest
import typer
from playwright.sync_api import Browser, expect
from typer.testing import CliRunner

from activation.serving.static_sites import read_model_verdicts
from marquee.cli import models
from monitoring import model_verdict
from tests.monitoring.world import CHAMPION, NOW, RUN, SUBSCRIBER_COUNT, World
from training import checks, gate, registry, verdicts
from training.checks import Check
from training.verdicts import VerdictError

NEXT = "20260307T000000-0a1b2c3e"
_FIGURES = {
    ("loo", "marquee"): 0.3,
    ("loo", "ease"): 0.2,
    ("temporal", "marquee"): 0.3,
    ("temporal", "popularity"): 0.2,
}


@pytest.fixture
def judged(world: World) -> World:
    """A version that serves women only, after every step of the gate but the two that need its training set."""
    world.write_artefact(NEXT, hits={"marquee": lambda n: 1 if n % 2 == 0 else None})
    metrics = [
        {"protocol": protocol, "model": model, "metric": "ndcg", "k": 10, "value": value, "low": value - 0.05,
         "high": value + 0.05, "user_count": SUBSCRIBER_COUNT}
        for (protocol, model), value in _FIGURES.items()
    ]  # fmt: skip
    registry.register(world.connection, NEXT, NOW, NOW, NOW, metrics)
    world.connection.commit()
    for step in ("quality", "fairness"):
        gate.check_version(step, RUN, NEXT, world.settings)
    checks.replace(
        world.connection, RUN, "batch", [Check("batch", "training set", "set_aside_share", "pass", 0.0, detail="none")]
    )
    beside = Check("champion", f"beside {CHAMPION}", "ndcg@10_difference", "pass", 0.01, -0.02, 0.04, -0.02, "alike")
    checks.replace(world.connection, RUN, "champion", [beside])
    world.connection.commit()
    verdicts.decide(RUN, NEXT, NOW, world.settings)
    return world


def test_the_page_is_kept_with_the_verdict_and_listed_among_the_reports(judged: World) -> None:
    report = model_verdict.write_page(RUN, judged.settings)
    assert model_verdict.write_page(RUN, judged.settings) == report
    assert (judged.settings.reports_dir / report).is_file()
    (listed,) = read_model_verdicts(judged.connection, judged.settings.reports_dir)
    assert (listed.model_version, listed.verdict, listed.report) == (NEXT, "reject", report)
    assert "ndcg by gender: male 0 (120) beside female 1 (120)" in " ".join(listed.reasons)


def test_a_run_without_a_verdict_is_named(world: World) -> None:
    with pytest.raises(VerdictError, match="'nowhere' has no verdict"):
        model_verdict.write_page("nowhere", world.settings)


def test_show_tells_the_verdict_its_reasons_and_its_page(judged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    report = model_verdict.write_page(RUN, judged.settings)
    monkeypatch.setattr("marquee.settings.load_settings", lambda: judged.settings)
    monkeypatch.setattr("marquee.database.load_settings", lambda: judged.settings)
    # the whole command line would set up the log for the rest of this process
    app = typer.Typer()
    app.add_typer(models.models, name="models")
    run = lambda *words: CliRunner().invoke(app, ["models", *words], env={"COLUMNS": "240"})  # noqa: E731
    shown = run("show", NEXT)
    assert shown.exit_code == 0, shown.output
    for words in ("reject", "- ndcg by gender: male 0 (120)", Path(report).name):
        assert words in shown.output
    assert "not judged" in run("list").output
    assert "no run has judged it yet" in run("show", CHAMPION).output


@pytest.mark.browser
def test_the_page_says_why_and_shows_both_groups(judged: World, browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((judged.settings.reports_dir / model_verdict.write_page(RUN, judged.settings)).as_uri())
    expect(page.get_by_text("Verdict: reject")).to_be_visible()
    expect(page.get_by_text("It never serves: the champion goes on serving.")).to_be_visible()
    expect(page.locator("li", has_text="ndcg by gender: male 0 (120)")).to_be_visible()
    expect(page.get_by_text("Ndcg@10 by gender: ratio 0.00")).to_be_visible()
    for label in ("female (120)", "male (120)"):
        expect(page.locator(".xtick", has_text=label).first).to_be_visible()
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert page.title() == f"Model {NEXT}: reject"
    assert errors == []
    page.close()
