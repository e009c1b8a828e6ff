"""The tracking API as a client sees it: what is taken, what is refused and how, and what is on record afterwards."""

import gzip
import json
import re
import subprocess
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from marquee.clock import utc_now
from marquee.settings import PROJECT_ROOT
from tests.ingestion.collector.conftest import Post
from tests.ingestion.collector.running import KEY, batch_of, watched


@pytest.mark.parametrize(
    ("path", "call", "event_type"),
    [
        ("/v1/track", {"event": "Content Added To List", "properties": {"content_id": "c-1"}}, "track"),
        ("/v1/identify", {"traits": {"email": "ada@example.com"}}, "identify"),
        ("/v1/page", {"name": "Home"}, "page"),
        ("/v1/screen", {"name": "Home"}, "screen"),
        ("/v1/group", {"groupId": "g-1"}, "group"),
        ("/v1/alias", {"previousId": "anonymous-1"}, "alias"),
        ("/v1/p", {"name": "Home"}, "page"),
    ],
)
def test_each_address_stores_its_kind_of_call(post: Post, path: str, call: dict[str, object], event_type: str) -> None:
    answer = post.collector.post(path, {"messageId": f"kind{path}", "userId": "u-1", **call})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert [row["event_type"] for row in post.events(f"kind{path}")] == [event_type]


def test_the_source_is_that_of_the_write_key_in_header_body_or_address(post: Post) -> None:
    post.collector.post("/v1/batch", batch_of([watched("key-header")]))
    post.collector.post("/v1/batch", batch_of([watched("key-body")], writeKey="browser-key"), key=None)
    post.collector.post("/v1/batch", batch_of([watched("key-event", writeKey="browser-key")]), key=None)
    post.collector.post("/beacon/v1/batch?writeKey=browser-key", batch_of([watched("key-address")]), key=None)
    rows = post.events("key-header", "key-body", "key-event", "key-address")
    assert [row["source"] for row in rows] == ["live", "web", "web", "web"]
    assert "browser-key" not in json.dumps(rows, default=str)


@pytest.mark.parametrize(
    ("body", "headers", "key", "status", "field", "says"),
    [
        (b"{", {}, KEY, 400, None, "is not JSON"),
        (b"[]", {}, KEY, 400, None, "must be a JSON object"),
        (b'{"batch": 1}', {}, KEY, 400, "batch", "a list of calls"),
        (b"{}", {"content_encoding": "gzip"}, KEY, 400, "Content-Encoding", "is not gzip"),
        (
            gzip.compress(b'{"batch": []}', mtime=0)[:-4],
            {"content_encoding": "gzip"},
            KEY,
            400,
            "Content-Encoding",
            "not gzip",
        ),
        (b"{}", {"content_encoding": "br"}, KEY, 415, "Content-Encoding", "plain or gzip"),
        (b'{"batch": []}', {}, None, 401, "writeKey", "no write key"),
        (b'{"batch": []}', {}, "stranger", 401, "writeKey", "unknown write key"),
        (b'{"batch": []}', {"Authorization": "Bearer x"}, None, 401, "Authorization", "HTTP Basic"),
        (b'{"batch": ["' + b"x" * 600_000 + b'"]}', {}, KEY, 413, "batch", "500 KB"),
        (gzip.compress(b"0" * 50_000_000), {"content_encoding": "gzip"}, KEY, 413, "batch", "500 KB"),
    ],
)
def test_a_request_that_cannot_be_taken_says_what_to_do(
    post: Post, body: bytes, headers: dict[str, str], key: str | None, status: int, field: str | None, says: str
) -> None:
    answer = post.collector.post("/v1/batch", body, key, **headers)
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert answer.json()["field"] == field
    assert says in answer.json()["message"]


def test_one_event_may_have_32_kilobytes_alone_and_in_a_batch(post: Post) -> None:
    large = {"content_id": "c-1", "note": "x" * 33_000}
    assert post.collector.post("/v1/track", watched("large-alone", properties=large)).status_code == 413
    whole = batch_of([watched("large-in-batch", properties=large), watched("beside-large"), "no call", None])
    assert post.collector.post("/v1/batch", whole).status_code == 200
    assert [row["message_id"] for row in post.events("large-alone", "large-in-batch", "beside-large")] == [
        "beside-large"
    ]
    aside = post.query("select message_id, reason from raw.quarantined_events where field = 'batch' order by reason")
    assert [row["reason"] for row in aside] == [
        "is larger than 32 KB, which is the most", "is not a JSON object", "is not a JSON object",
    ]  # fmt: skip
    assert aside[0]["message_id"] == "large-in-batch"


def test_a_poison_batch_costs_its_bad_events_and_no_other(post: Post) -> None:
    awkward = 'tab\t, "quote" \\N, line\nend, \\'
    calls = [
        watched("good-1"),
        watched("unknown", event="Nobody Planned This"),
        watched("nul", properties={"content_id": "c-1", "note": "a\x00b"}),
        watched("half-an-emoji", properties={"content_id": "c-1", "note": "\ud83d"}),
        watched("not-a-number", properties={"content_id": "c-1", "rating": float("nan")}),
        watched("no-moment", timestamp="the day after"),
        {"type": "track"},
        watched("good-2", properties={"content_id": "c-1", "note": awkward, "nested": {"a": []}}),
    ]  # fmt: skip
    for _ in range(2):
        assert post.collector.post("/v1/batch", batch_of(calls, sentAt=None)).status_code == 200
    rows = post.events(*(str(call.get("messageId")) for call in calls))
    assert [row["message_id"] for row in rows] == ["good-1", "good-2"]
    assert rows[1]["properties"]["note"] == awkward
    aside = post.query(
        "select message_id from raw.quarantined_events where message_id = any(%s) order by message_id",
        ["unknown", "nul", "half-an-emoji", "not-a-number", "no-moment"],
    )
    assert [row["message_id"] for row in aside] == ["half-an-emoji", "no-moment", "not-a-number", "nul", "unknown"]


def test_a_message_id_is_stored_once_whatever_the_order_of_its_deliveries(post: Post) -> None:
    third, first, second = (watched(f"order-{place}") for place in (3, 1, 2))
    for calls in ([third, first], [first, third, third], [second, third], [second]):
        assert post.collector.post("/v1/batch", batch_of(calls)).status_code == 200
    rows = post.events("order-1", "order-2", "order-3")
    assert [row["message_id"] for row in rows] == ["order-1", "order-2", "order-3"]


def test_an_event_without_id_is_known_when_its_body_comes_again(post: Post) -> None:
    nameless = {name: value for name, value in watched("").items() if name != "messageId"}
    user = {"userId": "nameless-1"}
    body = batch_of([{**nameless, **user}, {**nameless, **user}])
    for _ in range(2):
        assert post.collector.post("/v1/batch", body).status_code == 200
    rows = post.query("select message_id from raw.events where user_id = 'nameless-1'")
    assert len({row["message_id"] for row in rows}) == len(rows) == 2


@pytest.mark.parametrize(
    ("name", "skew", "happened", "expected"),
    [
        # the client's clock is a day ahead, a day behind, right, and unknown
        ("ahead", timedelta(days=1), timedelta(minutes=-10), timedelta(minutes=-10)),
        ("behind", timedelta(days=-1), timedelta(minutes=-10), timedelta(minutes=-10)),
        ("right", timedelta(0), timedelta(hours=-3), timedelta(hours=-3)),
        ("unsent", None, timedelta(hours=-3), timedelta(hours=-3)),
        ("unsent-future", None, timedelta(days=1), timedelta(0)),
    ],
)
def test_the_clients_clock_is_put_right(
    post: Post, name: str, skew: timedelta | None, happened: timedelta, expected: timedelta
) -> None:
    now = utc_now()
    told = skew or timedelta(0)
    call = watched(f"skew-{name}", timestamp=(now + told + happened).isoformat())
    body: dict[str, object] = (
        {"batch": [call]} if skew is None else {"batch": [call], "sentAt": (now + told).isoformat()}
    )
    assert post.collector.post("/v1/batch", body).status_code == 200
    (row,) = post.events(f"skew-{name}")
    assert abs(row["occurred_at"] - (now + expected)) < timedelta(seconds=5)
    assert row["occurred_at"] <= row["received_at"]


def test_a_batch_may_be_packed_and_share_a_context(post: Post) -> None:
    body = batch_of([watched("packed")], context={"locale": "de-AT", "device": {"id": "tv-1", "type": "connected_tv"}})
    packed = gzip.compress(json.dumps(body).encode())
    assert post.collector.post("/v1/batch", packed, content_encoding="gzip").status_code == 200
    (row,) = post.events("packed")
    assert (row["device_id"], row["context"]["locale"]) == ("tv-1", "de-AT")


def test_rare_months_get_a_partition_and_impossible_ones_the_default(post: Post) -> None:
    last_year = utc_now().replace(day=15) - timedelta(days=330)
    calls = [
        watched("month-old", timestamp=last_year.isoformat()),
        watched("month-1971", timestamp="1971-05-05T00:00Z"),
    ]
    assert post.collector.post("/v1/batch", {"batch": calls}).status_code == 200
    rows = post.query(
        "select message_id, tableoid::regclass::text as stored_in from raw.events where message_id like 'month-%%' "
        "order by message_id"
    )
    assert [row["stored_in"] for row in rows] == ["raw.events_other", f"raw.events_{last_year:%Y%m}"]
    ahead = (utc_now().replace(day=1) + timedelta(days=32)).strftime("raw.events_%Y%m")
    assert post.query("select to_regclass(%s) is not null as is_there", ahead)[0]["is_there"]


def test_listeners_hear_of_events_once_they_can_read_them(post: Post) -> None:
    from marquee import database

    with database.connect(post.settings) as connection:
        connection.autocommit = True
        connection.execute("listen events_arrived")
        post.collector.post("/v1/batch", batch_of([watched("heard")]))
        assert [notice.channel for notice in connection.notifies(timeout=10, stop_after=1)] == ["events_arrived"]
        assert connection.execute("select 1 from raw.events where message_id = 'heard'").fetchone()


def test_a_browser_of_any_site_may_ask_send_and_read_the_answer(post: Post) -> None:
    asked = httpx.options(
        f"{post.collector.url}/v1/t",
        headers={
            "Origin": "https://media.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-headers"] == "authorization,content-type"
    refused = post.collector.post("/v1/t", b"{", Origin="https://media.example")
    for answer in (asked, refused):
        assert answer.headers["access-control-allow-origin"] == "https://media.example"


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (lambda url: httpx.get(f"{url}/v1/batch"), 405),
        (lambda url: httpx.get(f"{url}/nowhere"), 404),
        (lambda url: httpx.delete(f"{url}/health"), 405),
        (lambda url: httpx.get(f"{url}/v1/projects/stranger/settings"), 401),
        (lambda url: httpx.get(f"{url}/health"), 200),
        (lambda url: httpx.get(f"{url}/plan"), 200),
    ],
)
def test_other_addresses_answer_as_they_should(post: Post, ask: Callable[[str], httpx.Response], status: int) -> None:
    assert ask(post.collector.url).status_code == status


def test_the_examples_of_the_documentation_work(post: Post) -> None:
    text = (PROJECT_ROOT / "docs" / "collector.md").read_text()
    (example,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert "http://localhost:8010" in example
    here = example.replace("http://localhost:8010", post.collector.url).replace("curl ", "curl -sS ")
    done = subprocess.run(["bash", "-ec", here], capture_output=True, text=True, timeout=30)
    assert done.stdout == '{"success":true}' * 2, done.stderr
    assert post.events("example-1")


def test_the_metrics_count_requests_and_what_became_of_events(post: Post) -> None:
    def counted() -> dict[str, float]:
        lines = httpx.get(f"{post.collector.url}/metrics").text.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    before = counted()
    post.collector.post("/v1/batch", batch_of([watched("m-1"), watched("m-1"), watched("m-2", event="Unplanned")]))
    after = counted()

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    for outcome in ("stored", "repeated", "set_aside"):
        assert grown(f'marquee_collector_events_total{{outcome="{outcome}"}}') == 1
    assert grown('marquee_collector_requests_total{status="200"}') >= 1
    assert after["marquee_collector_waiting_bytes"] == 0
