import pytest
from playwright.sync_api import Browser, expect

from monitoring.checks import KINDS, run_check
from monitoring.report_files import report_path
from tests.monitoring.world import CHAMPION, NOW, RUN, World

pytestmark = pytest.mark.browser


def test_every_page_shows_its_verdict_and_asks_nothing_of_any_host(world: World, browser: Browser) -> None:
    world.say_that_events_are_simulated()
    world.write_artefact(CHAMPION, hits={"marquee": lambda n: 1 if n % 2 == 0 else None})
    for kind in KINDS:
        verdict = run_check(kind, RUN, NOW, world.settings)
        path = world.settings.reports_dir / report_path(kind, RUN)
        page = browser.new_page()
        requests: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request, seen=requests: seen.append(request.url))
        page.on("pageerror", lambda error, seen=errors: seen.append(str(error)))
        page.goto(path.as_uri())
        expect(page.get_by_text(f"Verdict: {verdict}")).to_be_visible()
        expect(page.get_by_text("Simulated data.")).to_be_visible()
        expect(page.get_by_text("Findings")).to_be_visible()
        if kind in ("quality", "fairness"):
            expect(page.locator(".js-plotly-plot").first).to_be_visible()
        assert page.title() == f"{kind.capitalize()}: {verdict}"
        assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
        assert errors == []
        page.close()


def test_on_a_phone_words_stay_in_the_window_and_what_is_wider_scrolls_in_its_card(
    world: World, browser: Browser
) -> None:
    world.write_artefact(CHAMPION, hits={"marquee": lambda n: 1 if n % 2 == 0 else None})
    run_check("quality", RUN, NOW, world.settings)
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto((world.settings.reports_dir / report_path("quality", RUN)).as_uri())
    words = page.get_by_text("Steps within 30 days before an outcome")
    expect(words).to_be_visible()
    box = words.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390
    is_cut_off = "c => c.scrollWidth > c.clientWidth && getComputedStyle(c).overflowX === 'hidden'"
    assert page.locator(".MuiPaper-root").evaluate_all(f"cards => cards.filter({is_cut_off}).length") == 0


def test_the_page_of_an_unfair_model_shows_both_groups_and_their_sizes(world: World, browser: Browser) -> None:
    world.write_artefact(CHAMPION, hits={"marquee": lambda n: 1 if n % 2 == 0 else None})
    assert run_check("fairness", RUN, NOW, world.settings) == "fail"
    page = browser.new_page()
    page.goto((world.settings.reports_dir / report_path("fairness", RUN)).as_uri())
    for label in ("female (120)", "male (120)"):
        expect(page.locator(".xtick", has_text=label).first).to_be_visible()
    expect(page.get_by_text("Ndcg@10 by gender: ratio of the lowest to the highest 0.00")).to_be_visible()
