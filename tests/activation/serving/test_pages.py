"""The pages as people see them, in real Chromium: wide and narrow, by mouse and by keyboard."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from activation.preferences.choices import read_granted
from activation.preferences.links import sign_subscriber
from marquee import database
from marquee.settings import Settings
from tests.activation.serving import world
from tests.activation.serving.conftest import VERSION
from tests.activation.serving.live_app import running

pytestmark = pytest.mark.browser

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def house(make_house: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = make_house(tmp_path_factory.mktemp("pages") / "var")
    rules = settings.var_dir / "list_rules.yml"
    rules.write_text(
        "pins:\n- {content_id: c32, place: 3, surfaces: [homepage], from: 2026-01-01T00:00:00Z, "
        "until: 2100-01-01T00:00:00Z, reason: our film of the week}\n"
    )
    return settings.model_copy(update={"list_rules_file": rules})


@pytest.fixture(scope="module")
def site(house: Settings) -> Iterator[str]:
    with running(house) as address:
        yield address


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser: Browser, site: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """A page of either width, which must end without an error on its console."""
    context = browser.new_context(viewport=request.param, base_url=site, reduced_motion="reduce")
    opened = context.new_page()
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    opened.on("console", note)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("requestfailed", lambda request: complaints.append(f"{request.url} failed"))
    yield opened
    # for whoever looks into a failure, or at the design: pytest keeps the folders of the last runs
    opened.screenshot(path=tmp_path / "page.png", full_page=True)
    context.close()
    assert complaints == []


def assert_fits(page: Page) -> None:
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths[0] <= widths[1], f"the page is {widths[0]} px wide in a window of {widths[1]} px"


def test_the_homepage_shows_rails_of_tiles_each_with_its_reason(page: Page) -> None:
    page.goto(f"/?subscriber_id={world.DRAMA_LOVER}")
    expect(page.get_by_role("heading", level=2).first).to_have_text("For you")
    expect(page.get_by_text("Personal", exact=True)).to_be_visible()
    tiles = page.locator(".tile")
    assert tiles.count() >= 20
    reasons = page.locator(".why-line").all_inner_texts()
    assert len(reasons) == tiles.count()
    assert all(reasons)
    assert reasons[0].lower().startswith("because you watched title c0")
    loaded = page.locator(".tile img").first.evaluate("image => image.complete && image.naturalWidth > 0")
    assert loaded
    assert_fits(page)


def test_a_tile_says_why_it_is_there(page: Page) -> None:
    page.goto(f"/?subscriber_id={world.DRAMA_LOVER}")
    first = page.locator(".tile").first
    title = first.get_attribute("data-title") or ""
    first.click()
    panel = page.get_by_role("dialog")
    expect(panel).to_be_visible()
    expect(panel.get_by_role("heading")).to_have_text(title)
    expect(panel).to_contain_text("because you watched Title c0")
    expect(panel).to_contain_text("20260301T120000-00000001")
    assert_fits(page)


def test_a_pinned_tile_says_that_editors_put_it_there(page: Page) -> None:
    page.goto(f"/?subscriber_id={world.DRAMA_LOVER}")
    tile = page.locator(".tile", has_text="editors’ pick")
    expect(tile).to_have_count(1)
    expect(tile.locator(".why-line")).to_have_text("our film of the week")
    tile.click()
    expect(page.locator("#why-reason")).to_have_text("Here by choice of the editors: our film of the week.")
    expect(page.locator("#why-model")).to_have_text("the editors")
    page.locator("#why-close").click()
    assert_fits(page)


def test_everything_on_the_homepage_is_reached_by_keyboard(page: Page) -> None:
    page.goto(f"/?subscriber_id={world.DRAMA_LOVER}")
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.className || document.activeElement.id"))
        if reached[-1] == "tile":
            break
    assert reached[0] == "skip", "the first stop skips the navigation"
    assert "subscriber" in reached
    assert reached[-1] == "tile"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.place") == "2"
    outline = page.evaluate("getComputedStyle(document.activeElement.querySelector('.poster')).outlineStyle")
    assert outline == "solid", "where one stands can be seen"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.evaluate("document.activeElement.dataset.place") == "2", "the panel gives the focus back"


def test_the_picker_shows_somebody_else(page: Page) -> None:
    page.goto(f"/?subscriber_id={world.DRAMA_LOVER}")
    page.get_by_label("Who is watching?").select_option(world.NO_CONSENT)
    page.wait_for_url(f"**/?subscriber_id={world.NO_CONSENT}")
    expect(page.get_by_text("Not personal")).to_be_visible()
    expect(page.get_by_text("has not agreed to personalization")).to_be_visible()
    expect(page.locator(".why-line").first).not_to_contain_text("ecause you")
    assert_fits(page)


def test_the_preference_centre_saves_what_is_switched(page: Page, house: Settings) -> None:
    page.goto(f"/preferences/{sign_subscriber(world.COMEDY_LOVER, house)}")
    switch = page.get_by_role("switch", name="Recommendations made for you")
    was = switch.is_checked()
    # by keyboard: a switch is one stop, space turns it
    switch.focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("Not saved yet")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved. Your choice counts from now on.")).to_be_visible()
    assert page.get_by_role("switch", name="Recommendations made for you").is_checked() is not was
    assert ("personalization" in granted(house, world.COMEDY_LOVER)) is not was
    assert_fits(page)


def granted(settings: Settings, subscriber_id: str) -> frozenset[str]:
    with database.connect(settings) as connection:
        return read_granted(connection, subscriber_id)


def test_the_reference_tries_a_request(page: Page) -> None:
    page.goto("/docs")
    form = page.locator("form.try").first
    form.get_by_label("subscriber_id").fill(world.DRAMA_LOVER)
    form.get_by_role("button", name="Send").click()
    expect(form.locator("[data-status]")).to_contain_text("200")
    expect(form.locator("[data-answer]")).to_contain_text("because you watched")
    assert_fits(page)


@pytest.mark.parametrize("path", ["/start", "/preferences", "/reports", "/?anonymous_id=stranger"])
def test_every_page_fits_its_window_and_has_one_main_heading(page: Page, path: str) -> None:
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.get_by_role("main")).to_be_visible()
    assert_fits(page)


def test_the_reports_lead_to_the_model_card_of_a_judged_version(page: Page, house: Settings) -> None:
    card = house.models_dir / VERSION / "model_card.html"
    card.write_text('<!doctype html><title>Card</title><link rel="icon" href="data:,"><h1>What it is for</h1>')
    with database.connect(house) as connection:
        connection.execute(
            "insert into ops.model_verdicts (run_key, model_version, verdict, reasons, decided_at) "
            "values ('scheduled__1', %s, 'promote', '{}', now()) on conflict do nothing",
            (VERSION,),
        )
    page.goto("/reports")
    page.get_by_role("article").filter(has_text=VERSION).get_by_role("link", name="Open its model card").click()
    expect(page.get_by_role("heading", name="What it is for")).to_be_visible()


@pytest.mark.parametrize("version", ["20200101T000000-00000000", "%2e%2e", "%2e%2e%2fvar", ".work"])
def test_there_is_no_card_of_what_is_no_version(site: str, version: str) -> None:
    answer = httpx.get(f"{site}/reports/models/{version}")
    assert answer.status_code == 404
