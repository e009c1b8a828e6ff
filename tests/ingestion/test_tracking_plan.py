"""The tracking plan's files are checked when they are read, and drawn as a page that people can search."""

import re
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect
from typer.testing import CliRunner

from activation.serving.app import create_app
from ingestion.door.admission import Door, SetAside
from ingestion.tracking_plan.page import example_call, plan_page, write_plan_page
from ingestion.tracking_plan.plan import PLAN_FOLDER, load_plan
from marquee.cli.app import app
from marquee.errors import MarqueeError
from marquee.settings import Settings
from tests.ingestion.door.calls import ARRIVAL, DOOR, PLAN, POLICY, call, row

ARTICLE = "reading/article_read.yml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the plan, to be spoilt."""
    return Path(shutil.copytree(PLAN_FOLDER, tmp_path / "plan", ignore=shutil.ignore_patterns("*.py", "__pycache__")))


def _edit(folder: Path, old: str, new: str, name: str = ARTICLE) -> Path:
    path = folder / "events" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("version: 1", "version: one", r":2: version: Input should be a valid integer; correct it"),
        ("version: 1\n", "", r":1: version: Field required; add it"),
        ("owner: data_engineering", "owner: nobody", r":4: owner: Input should be 'data_engineering'"),
        ("since: 2026-01-01", "since: soon", r":3: since: Input should be a valid date"),
        ("purposes: [personalization", "purposes: [telepathy", r":6: purposes.0: Input should be"),
        ("includes: [content", "includes: [contents", r":8: includes.0: there is no group 'contents'; take one of "),
        ("description:", "descripton:", r"descripton: Extra inputs are not permitted; fields are name, call, version"),
        ("type: number", "type: numbr", r"properties.seconds_on_page.type: is no JSON Schema .*; see https"),
        ("needs_one_of: [content_id]", "needs_one_of: [nothing]", r"needs_one_of.0: there is no property 'nothing'"),
        ("needs_one_of: [content_id]", "required: [nothing]", r":9: required.0: there is no property 'nothing'"),
        ("name: Article Read", "name: [", r":\d+: is no YAML .*; look at the indentation"),
        ("since: 2026-01-01", "version: 1", r":3: version stands here a second time; keep one of the two"),
        ("Article Completed", "Article Viewed", r"deprecated_names.0: 'Article Viewed' means .*; take another name|"
         r"name: 'Article Viewed' means Article Read in article_read.yml; take another name"),
        ("name: Article Read", "name: Article Viewed", r"version: version 1 of Article Viewed stands in .* too; give"),
    ],
)  # fmt: skip
def test_an_error_names_file_line_field_and_remedy(folder: Path, old: str, new: str, problem: str) -> None:
    _edit(folder, old, new)
    with pytest.raises(MarqueeError) as raised:
        load_plan(folder)
    assert re.search(problem, str(raised.value)), str(raised.value)
    assert str(raised.value).startswith(str(folder / "events" / "reading"))


def test_an_empty_file_and_one_that_is_no_text_are_errors_too(folder: Path) -> None:
    path = folder / "events" / ARTICLE
    path.write_text("# nothing\n")
    with pytest.raises(MarqueeError, match=r"article_read.yml:1: the file is empty"):
        load_plan(folder)
    path.write_bytes(b"name: \xff")
    with pytest.raises(MarqueeError, match=r"article_read.yml:1: is not UTF-8"):
        load_plan(folder)
    path.unlink()
    _edit(folder, "type: string", "type: strng", "../property_groups.yml")
    with pytest.raises(MarqueeError, match=r"property_groups.yml:\d+: .*properties.*type: is no JSON Schema"):
        load_plan(folder)


def test_versions_of_an_event_live_side_by_side(folder: Path) -> None:
    newer = folder / "events" / "reading" / "article_read_2.yml"
    text = (folder / "events" / ARTICLE).read_text().replace("version: 1", "version: 2")
    newer.write_text(
        text.replace("properties:\n", "closed: true\nrequired: [mood]\nproperties:\n  mood: {enum: [good]}\n")
    )
    door = Door(load_plan(folder), POLICY)
    article: dict[str, object] = {"event": "Article Read"}
    old = call(**article, properties={"content_id": "c"}, context={"schemaVersion": "1"})
    assert row(door.admit(old, ARRIVAL)).schema_version == "1"
    new = call(**article, properties={"content_id": "c", "mood": "good"})
    assert row(door.admit(new, ARRIVAL)).schema_version == "2"
    bad = door.admit(call(**article, properties={"content_id": "c", "mood": "good", "more": 1}), ARRIVAL)
    assert isinstance(bad, SetAside)
    assert "'more'" in bad.reason


def test_every_call_that_the_page_shows_as_an_example_is_admitted() -> None:
    for event in PLAN.events:
        found = row(DOOR.admit({**example_call(event), "messageId": "m"}, ARRIVAL))
        assert (found.event_type, found.schema_version) == (event.definition.call, event.version)


def test_what_the_demo_and_an_import_write_is_in_the_plan() -> None:
    names = set(PLAN.tracks)
    assert {"Video Playback Completed", "Video Playback Exited", "Article Read", "Podcast Played"} <= names
    assert {"Content Searched", "Content Added To List", "Recommendations Shown"} <= names
    assert set(PLAN.calls) == {"page", "screen", "identify", "group", "alias"}


@pytest.mark.browser
def test_the_page_is_searched_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    written = CliRunner().invoke(app, ["events", "plan", "--html", str(tmp_path / "plan.html")])
    assert f"{len(PLAN.events)} events" in written.output
    page = browser.new_page(color_scheme="dark")
    faults: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "plan.html").as_uri())
    expect(page.locator("article:visible")).to_have_count(len(PLAN.events))
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 16, 22)"
    page.get_by_role("searchbox").fill("playback seek")
    expect(page.locator("article:visible h3")).to_have_text(
        ["Video Playback Seek Completed", "Video Playback Seek Started"]
    )
    expect(page.locator("main h2:visible")).to_have_text(["video"])
    page.get_by_role("searchbox").fill("")
    page.get_by_role("button", name="email marketing").click()
    expect(page.locator("output")).to_have_text(re.compile(r"^\d events$"))
    page.get_by_role("searchbox").fill("no such thing")
    expect(page.get_by_text("No event has these words.")).to_be_visible()
    page.set_viewport_size({"width": 400, "height": 800})
    page.get_by_role("searchbox").fill("Unsubscribed")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    # self-contained: it asks for nothing but itself
    assert (faults, requests) == ([], [(tmp_path / "plan.html").as_uri()])
    page.close()


def test_the_page_lies_among_the_reports_which_the_app_serves(settings: Settings) -> None:
    written = write_plan_page(PLAN, settings)
    with TestClient(create_app(settings)) as client:
        answer = client.get(f"/reports/{written.relative_to(settings.reports_dir)}")
    assert answer.text == plan_page(PLAN)


def test_what_a_file_says_cannot_become_markup(folder: Path) -> None:
    _edit(folder, "An article was read", "<script>`alert(1)`</script> An article was read")
    page = plan_page(load_plan(folder))
    assert "&lt;script&gt;<code>alert(1)</code>" in page
