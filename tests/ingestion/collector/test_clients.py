"""Clients as their vendors publish them, unmodified: only the host differs."""

import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from segment.analytics.client import Client

from tests.ingestion.collector.clients import NODE
from tests.ingestion.collector.conftest import Post
from tests.waiting import wait_until

_SEGMENT = "/node_modules/@segment/analytics-next/dist/umd/index.js"
_RUDDERSTACK = "/node_modules/@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js"
_NODE_SCRIPT = """
const { Analytics } = require('@segment/analytics-node');
(async () => {
  const analytics = new Analytics({ writeKey: 'marquee-local', host: process.argv[1], flushAt: 4 });
  analytics.on('error', (error) => { console.error(error); process.exitCode = 1; });
  const userId = 'node-1';
  analytics.identify({ userId, traits: { email: 'grace@example.com' } });
  analytics.track({ userId, event: 'Content Added To List', properties: { content_id: 'c-1' } });
  analytics.page({ userId, name: 'Home' });
  analytics.screen({ userId, name: 'Home' });
  analytics.group({ userId, groupId: 'household-1' });
  analytics.alias({ userId, previousId: 'anonymous-1' });
  await analytics.closeAndFlush({ timeout: 10000 });
})();
"""
_KINDS = {"alias", "group", "identify", "page", "screen", "track"}


class _Quiet(SimpleHTTPRequestHandler):
    """Serves the clients' files, and an empty page everywhere else."""

    def do_GET(self) -> None:
        if self.path.startswith("/node_modules/"):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Media</title>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(clients: Path) -> Iterator[str]:
    """Address of a web site that carries the clients; to the collector it is another origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(clients)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    opened = browser.new_page()
    opened.goto(site)
    yield opened
    opened.close()


def _kinds_of(post: Post, user_id: str) -> list[str]:
    rows = post.query("select event_type from raw.events where user_id = %s order by raw_id", user_id)
    return [row["event_type"] for row in rows]


@pytest.mark.parametrize("gzip", [False, True])
def test_segments_python_client_delivers_every_kind_of_call(post: Post, gzip: bool) -> None:
    failures: list[object] = []
    client = Client(
        "marquee-local", host=post.collector.url, gzip=gzip, on_error=lambda error, _: failures.append(error)
    )
    user_id = f"python-{gzip}"
    client.identify(user_id, {"email": "ada@example.com"})
    client.track(user_id, "Content Added To List", {"content_id": "c-1"})
    client.page(user_id, name="Home")
    client.screen(user_id, name="Home")
    client.group(user_id, "household-1")
    client.alias("anonymous-1", user_id)
    client.shutdown()
    assert not failures
    assert sorted(_kinds_of(post, user_id)) == sorted(_KINDS)


def test_segments_node_client_delivers_every_kind_of_call(post: Post, clients: Path) -> None:
    done = subprocess.run(
        [NODE, "-e", _NODE_SCRIPT, post.collector.url], cwd=clients, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert sorted(_kinds_of(post, "node-1")) == sorted(_KINDS)


@pytest.mark.browser
@pytest.mark.parametrize("strategy", ["standard", "batching"])
def test_segments_browser_client_delivers_from_another_origin(post: Post, page: Page, site: str, strategy: str) -> None:
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.add_script_tag(url=f"{site}{_SEGMENT}")
    page.evaluate(
        """async ([url, strategy]) => {
            const [analytics] = await AnalyticsNext.AnalyticsBrowser.load(
                { writeKey: 'browser-key', cdnURL: url },
                { integrations: { 'Segment.io': { deliveryStrategy: { strategy, config: { timeout: 50 } } } } },
            );
            await analytics.identify('segment-' + strategy, { email: 'lin@example.com' });
            await analytics.page('Home');
            await analytics.track('Content Added To List', { content_id: 'c-1' });
        }""",
        [post.collector.url, strategy],
    )
    wait_until(lambda: len(_kinds_of(post, f"segment-{strategy}")) == 3, 10, "the delivery of three calls")
    # nothing goes to the vendor
    assert hosts == {post.collector.url.split("/")[2], site.split("/")[2]}


@pytest.mark.browser
def test_an_event_of_a_page_that_is_left_arrives(post: Post, page: Page, site: str) -> None:
    page.add_script_tag(url=f"{site}{_SEGMENT}")
    page.evaluate(
        """async (url) => {
            const [analytics] = await AnalyticsNext.AnalyticsBrowser.load(
                { writeKey: 'browser-key', cdnURL: url },
                { integrations: { 'Segment.io': { deliveryStrategy: {
                    strategy: 'batching', config: { size: 100, timeout: 600000 } } } } },
            );
            await analytics.identify('segment-leaver');
            window.addEventListener('pagehide', () => navigator.sendBeacon(url + '/v1/batch', JSON.stringify({
                writeKey: 'browser-key', sentAt: new Date(), batch: [
                    { type: 'page', messageId: 'left-by-beacon', userId: 'segment-leaver', name: 'Left' }] })));
        }""",
        post.collector.url,
    )
    assert _kinds_of(post, "segment-leaver") == []
    page.goto(f"{site}/next")
    wait_until(
        lambda: sorted(_kinds_of(post, "segment-leaver")) == ["identify", "page"], 10, "the delivery of both calls"
    )


@pytest.mark.browser
def test_rudderstacks_client_delivers_by_beacon(post: Post, page: Page, site: str) -> None:
    page.add_script_tag(url=f"{site}{_RUDDERSTACK}")
    page.evaluate(
        """(url) => {
            window.client = new rudderanalytics.RudderAnalytics();
            client.load('browser-key', url, { configUrl: url, useBeacon: true,
                beaconQueueOptions: { flushQueueInterval: 600000 } });
            client.identify('rudder-1', { email: 'mary@example.com' });
            client.page('Home');
            client.track('Content Added To List', { content_id: 'c-1' });
            return new Promise((done) => client.ready(done));
        }""",
        post.collector.url,
    )
    page.goto(f"{site}/next")
    wait_until(
        lambda: sorted(_kinds_of(post, "rudder-1")) == ["identify", "page", "track"], 10, "the delivery of the beacon"
    )
    rows = post.query("select source, sent_at, occurred_at from raw.events where user_id = 'rudder-1'")
    assert {row["source"] for row in rows} == {"web"}
    assert all(row["sent_at"] is not None for row in rows)
