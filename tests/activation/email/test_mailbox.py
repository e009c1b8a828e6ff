"""The mailbox page shows what was accepted, to people and without danger."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, Page

from activation.channels.email.sender import EmailSender
from marquee import database
from tests.activation.email.conftest import Endpoint, make_message

_HOSTILE = """<!doctype html><html><head><title>Hostile</title>
<script>parent.document.title = "script ran"; document.title = "script ran"</script>
<meta http-equiv="refresh" content="0; url=https://elsewhere.example/refresh">
<link rel="stylesheet" href="https://elsewhere.example/style.css">
</head><body onload="document.title = 'onload ran'">
<p>Before</p>
<img src="https://elsewhere.example/pixel.gif" onerror="document.title = 'onerror ran'">
<svg onload="document.title = 'svg ran'"></svg>
<iframe src="https://elsewhere.example/frame"></iframe>
<form action="/rehearsal/faults" method="post"><button id="send">Send</button></form>
<a id="script" href="javascript:document.title='link ran'">Link</a>
<p id="after" style="color: rgb(1, 2, 3)">After</p>
</body></html>"""


def _page(endpoint: Endpoint, path: str) -> httpx.Response:
    return httpx.get(endpoint.url + path, headers={"Accept": "text/html"})


def test_the_list_shows_the_newest_first_and_counts_by_campaign(endpoint: Endpoint, sender: EmailSender) -> None:
    for number in range(3):
        sender.send(make_message(f"re-{number}", subject=f"Subject {number}"))
    sender.send(make_message("on", subject="Welcome", custom_args={"send_id": "on", "campaign_id": "onboarding"}))
    sender.send(make_message("by hand", subject="By hand", custom_args={}, categories=("test",)))
    text = _page(endpoint, "/").text
    positions = [text.index(subject) for subject in ("By hand", "Welcome", "Subject 2", "Subject 1", "Subject 0")]
    assert positions == sorted(positions)
    for count in ("All 5", "re engagement 3", "onboarding 1", "test 1"):
        assert count in text
    assert "stand-in for SendGrid" in text


def test_the_list_is_filtered_by_campaign_or_category_and_by_recipient(endpoint: Endpoint, sender: EmailSender) -> None:
    sender.send(make_message("1", subject="First", to_email="Ada@example.com"))
    sender.send(make_message("2", subject="Second", to_email="bob_1@example.com", categories=("re_engagement", "vip")))
    sender.send(make_message("3", subject="Third", custom_args={"campaign_id": "onboarding"}, categories=("x",)))

    def shown(query: str) -> list[str]:
        text = _page(endpoint, f"/?{query}").text
        return [subject for subject in ("First", "Second", "Third") if subject in text]

    assert shown("campaign=onboarding") == ["Third"]
    assert shown("campaign=vip") == ["Second"]
    assert shown("recipient=ADA%40") == ["First", "Third"]
    assert shown("recipient=bob_") == ["Second"]
    assert shown("recipient=%25") == []
    assert shown("campaign=re_engagement&recipient=bob") == ["Second"]
    assert "No message fits" in _page(endpoint, "/?recipient=nobody").text


def test_a_long_list_has_pages_that_keep_the_filter(endpoint: Endpoint, sender: EmailSender) -> None:
    for number in range(53):
        sender.send(make_message(str(number), subject=f"Subject {number};"))
    first, second = (
        _page(endpoint, "/?campaign=re_engagement").text,
        _page(endpoint, "/?campaign=re_engagement&page=2").text,
    )
    assert ("Subject 52;" in first, "Subject 2;" in first) == (True, False)
    assert ("Subject 3;" in second, "Subject 2;" in second, "Subject 0;" in second) == (False, True, True)
    assert "/?campaign=re_engagement&amp;page=2" in first
    assert "Page 2 of 2" in _page(endpoint, "/?page=99").text


def test_an_empty_mailbox_says_what_fills_it(endpoint: Endpoint) -> None:
    assert "Nothing was sent yet" in _page(endpoint, "/").text


def test_recipients_are_called_simulated_while_they_are(endpoint: Endpoint, sender: EmailSender) -> None:
    message_id = sender.send(make_message())
    with psycopg.connect(database.warehouse_url(endpoint.settings)) as connection:
        connection.execute("create schema if not exists marts")
        connection.execute("create table marts.dim_subscribers as select true as is_simulated")
    assert "recipients are simulated" in _page(endpoint, "/").text
    assert "recipient is simulated" in _page(endpoint, f"/messages/{message_id}").text
    with psycopg.connect(database.warehouse_url(endpoint.settings)) as connection:
        connection.execute("drop schema marts cascade")
    assert "simulated" not in _page(endpoint, "/").text


def test_a_message_shows_everything_it_carries(endpoint: Endpoint, sender: EmailSender) -> None:
    message_id = sender.send(make_message(plain="Hello <Ada>", categories=("re_engagement", "vip")))
    text = _page(endpoint, f"/messages/{message_id}").text
    parts = (
        "ada@example.com", "hello@marquee.example", "Three films for you", "Hello &lt;Ada&gt;", "List-Unsubscribe",
        "&lt;https://marquee.example/u/1&gt;", "occurrence_key", "2026-11", "vip",
    )  # fmt: skip
    for part in parts:
        assert part in text
    assert "<p>Hello Ada</p>" not in text


def test_the_html_of_a_message_is_shut_in_wherever_it_is_opened(endpoint: Endpoint, sender: EmailSender) -> None:
    answer = httpx.get(f"{endpoint.url}/messages/{sender.send(make_message())}/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups" in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy


@pytest.mark.parametrize("path", ["/messages/none", "/messages/none/html", "/nowhere"])
def test_a_page_that_is_not_there_says_so(endpoint: Endpoint, path: str) -> None:
    answer = _page(endpoint, path)
    assert (answer.status_code, "To the mailbox" in answer.text) == (404, True)


@pytest.mark.parametrize("path", ["/?page=0", "/?page=x", "/?recipient=%00", "/messages/%00"])
def test_an_address_that_makes_no_sense_is_refused(endpoint: Endpoint, path: str) -> None:
    assert _page(endpoint, path).status_code == 400


def test_another_site_cannot_rehearse_faults_through_a_persons_browser(endpoint: Endpoint) -> None:
    answer = httpx.post(
        f"{endpoint.url}/rehearsal/faults", content='{"kind": "drop"}', headers={"Content-Type": "text/plain"}
    )
    assert answer.status_code == 400
    assert httpx.get(f"{endpoint.url}/rehearsal/faults").json() == []


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("where", ["frame", "alone"])
def test_a_hostile_message_runs_nothing_and_asks_no_other_server(
    endpoint: Endpoint, sender: EmailSender, page: Page, where: str
) -> None:
    message_id = sender.send(make_message(html=_HOSTILE))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    # what the policy stops is announced as a request, too, and never leaves the browser
    page.on("requestfailed", lambda request: asked.remove(request.url) if request.failure == "csp" else None)
    page.goto(f"{endpoint.url}/messages/{message_id}{'/html' if where == 'alone' else ''}")
    shown = page.frame_locator("iframe.letter-body") if where == "frame" else page
    assert shown.locator("#after").evaluate("element => getComputedStyle(element).color") == "rgb(1, 2, 3)"
    shown.locator("#script").click()
    shown.locator("#send").click(no_wait_after=True)
    # whatever the clicks set off has happened by the time the same browser has shown another page
    other = page.context.new_page()
    other.goto(endpoint.url)
    other.close()
    assert page.title() == ("Hostile" if where == "alone" else "Three films for you · Marquee")
    assert shown.locator("#after").is_visible()
    hosts = {urlsplit(url).netloc for url in asked if url.startswith("http")}
    assert hosts == {urlsplit(endpoint.url).netloc}
    assert httpx.get(f"{endpoint.url}/rehearsal/faults").json() == []


@pytest.mark.browser
def test_the_same_message_would_run_scripts_without_its_cage(page: Page) -> None:
    page.route("**/*", lambda route: route.abort())
    page.set_content(_HOSTILE.replace('<meta http-equiv="refresh"', "<meta "))
    assert page.title() != "Hostile"


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_off_at_any_width(endpoint: Endpoint, sender: EmailSender, page: Page, width: int) -> None:
    long = "A subject that goes on and on and on, because somebody had a great deal to say about a great many films"
    message_id = sender.send(make_message(subject=long, to_email=f"{'long' * 14}@a-rather-long-domain.example.com"))
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("/", f"/messages/{message_id}"):
        page.goto(endpoint.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_a_persons_way_from_the_list_through_the_search_to_a_message(
    endpoint: Endpoint, sender: EmailSender, page: Page
) -> None:
    sender.send(make_message("1", subject="For Ada"))
    sender.send(make_message("2", subject="For Bob", to_email="bob@example.com"))
    page.goto(endpoint.url)
    page.get_by_role("searchbox").fill("bob")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="For Bob").click()
    page.wait_for_url("**/messages/*")
    assert page.get_by_role("heading", level=1).inner_text() == "For Bob"
    assert page.frame_locator("iframe.letter-body").get_by_text("Hello Ada").is_visible()
    page.get_by_text("Plain text").click()
    assert page.locator(".letter-plain").inner_text() == "Hello Ada"
