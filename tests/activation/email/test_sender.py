"""The sender against the real endpoint: what went, what surely did not, and what nobody knows."""

import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from activation.channels.email.sender import (
    AccountRefusedError,
    ActivityUnavailableError,
    EmailError,
    EmailSender,
    MessageRefusedError,
    OutcomeUnknownError,
    ProviderUnavailableError,
)
from marquee.settings import Settings
from tests.activation.email.conftest import NOW, Endpoint, Waits, make_message, make_sender


def test_a_message_arrives_as_it_was_handed_over(endpoint: Endpoint, sender: EmailSender) -> None:
    message = make_message()
    message_id = sender.send(message)
    (row,) = endpoint.stored()
    assert row["provider_message_id"] == message_id
    assert (row["from_email"], row["to_email"], row["subject"]) == (
        "hello@marquee.example", message.to_email, message.subject,
    )  # fmt: skip
    assert (row["html"], row["plain"]) == (message.html, message.plain)
    assert tuple(row["categories"]) == message.categories
    assert (row["custom_args"], row["headers"]) == (message.custom_args, message.headers)
    assert row["payload"]["from"] == {"email": "hello@marquee.example", "name": "Marquee"}


def test_a_sent_message_is_found_by_its_send_id(sender: EmailSender) -> None:
    message_id = sender.send(make_message("send-1"))
    sender.send(make_message("send-2"))
    assert sender.find_message("send-1") == message_id
    assert sender.find_message("send-3") is None


def test_a_refused_message_is_named_by_field_and_reason_without_the_address(
    endpoint: Endpoint, sender: EmailSender, waits: Waits
) -> None:
    with pytest.raises(MessageRefusedError) as caught:
        sender.send(make_message(to_email="someone at nowhere"))
    assert "personalizations.0.to.0.email: Does not contain a valid address" in str(caught.value)
    assert "nowhere" not in str(caught.value)
    assert waits.slept == []
    assert endpoint.stored() == []


def test_a_refusal_that_quotes_the_address_is_told_without_it(waits: Waits, settings: Settings) -> None:
    body = {"errors": [{"message": "duplicate instance of [ada@example.com]", "field": "personalizations.0"}]}
    with _answering(settings, 400, body) as used, pytest.raises(MessageRefusedError) as caught:
        make_sender(used, waits).send(make_message())
    assert "duplicate instance of [[address]]" in str(caught.value)


def test_a_rate_limit_is_waited_out_until_its_reset(endpoint: Endpoint, sender: EmailSender, waits: Waits) -> None:
    # the endpoint tells the real time, so the clock that only sleeping moves starts there
    import time

    waits.now += timedelta(seconds=time.time() - waits.now.timestamp())
    endpoint.rehearse(kind="status", status=429, count=2, retry_after_seconds=7)
    message_id = sender.send(make_message())
    assert [row["provider_message_id"] for row in endpoint.stored()] == [message_id]
    assert len(waits.slept) == 2
    assert 6 < waits.slept[0] < 10


def test_a_rate_limit_that_lasts_is_left_to_a_later_run(endpoint: Endpoint, sender: EmailSender, waits: Waits) -> None:
    endpoint.rehearse(kind="status", status=429, count=1, retry_after_seconds=3600)
    waits.now += timedelta(days=-1)
    with pytest.raises(ProviderUnavailableError, match="429"):
        sender.send(make_message())
    assert waits.slept == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_the_provider_did_not_accept_is_tried_again_with_growing_waits(
    endpoint: Endpoint, sender: EmailSender, waits: Waits, status: int
) -> None:
    endpoint.rehearse(kind="status", status=status, count=3, retry_after_seconds=0)
    waits.now += timedelta(days=36500)
    sender.send(make_message())
    assert len(endpoint.stored()) == 1
    assert waits.slept == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_provider_that_stays_down_surely_did_not_accept(endpoint: Endpoint, sender: EmailSender, status: int) -> None:
    endpoint.rehearse(kind="status", status=status, count=100, retry_after_seconds=0)
    with pytest.raises(ProviderUnavailableError, match=str(status)):
        sender.send(make_message())
    assert endpoint.stored() == []


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_that_lost_sight_of_the_request_is_not_taken_for_a_no(
    endpoint: Endpoint, sender: EmailSender, waits: Waits, status: int
) -> None:
    endpoint.rehearse(kind="status", status=status)
    with pytest.raises(OutcomeUnknownError, match=str(status)):
        sender.send(make_message())
    assert waits.slept == []


def test_a_connection_cut_after_storing_is_unknown_and_the_message_can_be_found(
    endpoint: Endpoint, sender: EmailSender
) -> None:
    endpoint.rehearse(kind="drop")
    with pytest.raises(OutcomeUnknownError):
        sender.send(make_message("send-1"))
    (row,) = endpoint.stored()
    assert sender.find_message("send-1") == row["provider_message_id"]


def test_a_connection_cut_before_storing_is_unknown_and_nothing_can_be_found(
    endpoint: Endpoint, sender: EmailSender
) -> None:
    endpoint.rehearse(kind="drop", is_stored=False)
    with pytest.raises(OutcomeUnknownError):
        sender.send(make_message("send-1"))
    assert endpoint.stored() == []
    assert sender.find_message("send-1") is None
    sender.send(make_message("send-1"))


def test_an_answer_that_comes_too_late_is_unknown(endpoint: Endpoint, waits: Waits) -> None:
    endpoint.rehearse(kind="delay", delay_seconds=1.5)
    with pytest.raises(OutcomeUnknownError, match="ReadTimeout"):
        make_sender(endpoint.settings, waits, timeout=0.5).send(make_message("send-1"))
    assert make_sender(endpoint.settings, waits).find_message("send-1") is not None


def test_a_provider_that_nobody_answers_for_is_unavailable_after_all_retries(settings: Settings, waits: Waits) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        used = settings.model_copy(update={"email_port": closed.getsockname()[1]})
        with pytest.raises(ProviderUnavailableError, match="cannot be reached"):
            make_sender(used, waits).send(make_message())
        assert waits.slept == [0.25, 0.5, 1.0, 2.0, 4.0]
        with pytest.raises(ActivityUnavailableError, match="cannot be reached"):
            make_sender(used, waits).find_message("send-1")


def test_a_wrong_key_stops_the_run_instead_of_failing_its_messages(endpoint: Endpoint, waits: Waits) -> None:
    wrong = endpoint.settings.model_copy(
        update={"sendgrid_api_key": SecretStr("SG.secret"), "sendgrid_host": endpoint.url}
    )
    with pytest.raises(AccountRefusedError, match="SENDGRID_API_KEY") as caught:
        make_sender(wrong, waits).send(make_message())
    assert isinstance(caught.value, ProviderUnavailableError)
    assert "secret" not in str(caught.value)
    assert waits.slept == []
    with pytest.raises(ActivityUnavailableError, match="401"):
        make_sender(wrong, waits).find_message("send-1")


def test_a_sender_that_the_provider_refuses_stops_the_run(endpoint: Endpoint, waits: Waits) -> None:
    wrong = endpoint.settings.model_copy(update={"email_from": "Marquee <hello@invalid_domain>"})
    with pytest.raises(AccountRefusedError, match="MARQUEE_EMAIL_FROM"):
        make_sender(wrong, waits).send(make_message())


def test_a_sender_without_an_address_is_named_at_once(settings: Settings) -> None:
    with pytest.raises(EmailError, match="MARQUEE_EMAIL_FROM"):
        EmailSender(settings.model_copy(update={"email_from": "Marquee"}))


@pytest.mark.parametrize("status", [403, 404])
def test_an_account_without_the_activity_api_cannot_be_asked(
    endpoint: Endpoint, sender: EmailSender, waits: Waits, status: int
) -> None:
    endpoint.rehearse(kind="status", on="activity", status=status)
    with pytest.raises(ActivityUnavailableError, match=str(status)):
        sender.find_message("send-1")
    assert waits.slept == []


def test_an_activity_api_that_is_down_for_a_moment_is_asked_again(endpoint: Endpoint, sender: EmailSender) -> None:
    message_id = sender.send(make_message("send-1"))
    endpoint.rehearse(kind="status", on="activity", status=503, count=2)
    endpoint.rehearse(kind="drop", on="activity")
    assert sender.find_message("send-1") == message_id


def test_a_send_id_cannot_change_the_question(sender: EmailSender) -> None:
    with pytest.raises(ValueError, match="send_id"):
        sender.find_message('x" OR to_email="ada@example.com')


@pytest.mark.parametrize("status", [200, 204, 301])
def test_an_answer_that_accepts_nothing_is_not_taken_for_success(settings: Settings, waits: Waits, status: int) -> None:
    with _answering(settings, status, {}) as used, pytest.raises(AccountRefusedError, match="SENDGRID_HOST"):
        make_sender(used, waits).send(make_message())


def test_an_accepted_message_whose_id_was_lost_on_the_way_counts_as_sent(settings: Settings, waits: Waits) -> None:
    with _answering(settings, 202, {}) as used:
        assert make_sender(used, waits).send(make_message()) == ""


def test_an_activity_answer_in_another_shape_tells_nothing(settings: Settings, waits: Waits) -> None:
    with _answering(settings, 200, {"hello": 1}) as used, pytest.raises(ActivityUnavailableError, match="shape"):
        make_sender(used, waits).find_message("send-1")


def test_retry_after_is_honoured_as_seconds_and_as_a_date(settings: Settings, waits: Waits) -> None:
    later = (NOW + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    for value, expected in (("9", 9.25), (later, 90.25), ("soon", 0.25), ("nan", 0.25)):
        patience = Waits()
        with _answering(settings, 503, {}, {"Retry-After": value}) as used, pytest.raises(ProviderUnavailableError):
            make_sender(used, patience).send(make_message())
        assert patience.slept[0] == expected


def test_keys_and_addresses_stay_out_of_a_log_of_everything(
    endpoint: Endpoint, sender: EmailSender, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        endpoint.rehearse(kind="status", status=503)
        sender.send(make_message())
        sender.find_message("send-1")
    written = caplog.text + "".join(capsys.readouterr())
    assert "asked again" in written
    assert "ada@example.com" not in written
    assert "SG." not in written
    assert "send-1" not in written


def test_connections_are_used_again(endpoint: Endpoint, sender: EmailSender) -> None:
    for number in range(5):
        sender.send(make_message(f"send-{number}"))
    pool = sender._connections._transport._pool  # type: ignore[attr-defined]
    assert len(pool.connections) == 1


def test_threads_may_share_a_sender(endpoint: Endpoint, sender: EmailSender) -> None:
    def send_some(worker: int) -> None:
        for number in range(10):
            sender.send(make_message(f"{worker}-{number}"))

    threads = [threading.Thread(target=send_some, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({row["custom_args"]["send_id"] for row in endpoint.stored()}) == 60


@contextmanager
def _answering(
    settings: Settings, status: int, body: dict[str, object], headers: dict[str, str] | None = None
) -> Iterator[Settings]:
    """A provider that gives one answer that the local endpoint never gives."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if status != 204:
                self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield settings.model_copy(update={"email_port": server.server_address[1]})
        finally:
            server.shutdown()
            thread.join()
