"""Whatever dies or answers strangely, and whenever: no candidate gets two messages, and each who is due gets one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from activation.campaigns import claims
from activation.campaigns.runner import CampaignStoppedError
from marquee.clock import utc_now
from tests.activation.campaigns import world
from tests.activation.campaigns.conftest import House

_COUNT = 60
_KILLS = 5
_LATER = timedelta(minutes=5)

# Imports once, then forks a runner for each line: a run that is killed costs no second import of the model library.
_RUNNERS = """
import os, sys
from pathlib import Path
from activation.campaigns.runner import run_campaign
from marquee.clock import utc_now
from marquee.logs import configure_logs
from marquee.settings import Settings
configure_logs("ERROR")
settings = Settings()
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            run = run_campaign("re_engagement", "one run", utc_now(), settings, folder=Path(sys.argv[1]))
            print(f"through {run.sent_count}", flush=True)
            os._exit(0)
        except BaseException as error:
            print(f"failed {type(error).__name__}: {error}", flush=True)
            os._exit(1)
    print(child, flush=True)
    os.waitpid(child, 0)
"""


@contextmanager
def runners(house: House) -> Iterator["subprocess.Popen[str]"]:
    assert house.settings.database_url is not None
    environment = {
        **os.environ,
        "DATABASE_URL": house.settings.database_url.get_secret_value(),
        "MARQUEE_VAR_DIR": str(house.settings.var_dir),
        "MARQUEE_EMAIL_PORT": str(house.settings.email_port),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _RUNNERS, str(house.definitions)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


def start(process: "subprocess.Popen[str]") -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("run\n")
    return int(process.stdout.readline())


def settled_count(house: House) -> int:
    row = house.connection.execute("select count(*) as n from activation.sends where status = 'sent'").fetchone()
    assert row is not None
    return int(row["n"])


def unsettled(house: House) -> list[str]:
    rows = house.connection.execute("select send_id from activation.sends where status in ('claimed', 'held')")
    return [str(row["send_id"]) for row in rows]


def wait_for_settled(house: House, count: int) -> None:
    deadline = time.monotonic() + 60
    while settled_count(house) < count:
        assert time.monotonic() < deadline, f"only {settled_count(house)} of {count} messages went in a minute"


# another one each day, the same in every worker of a run
@pytest.mark.parametrize("seed", [int(time.time() // 86_400)])
def test_killed_at_any_moment_and_run_again_each_candidate_gets_exactly_one_message(
    sending_house: House, seed: int
) -> None:
    chance = random.Random(seed)
    names = sending_house.add_candidates(_COUNT)
    questions = 0
    with runners(sending_house) as process:
        for kill in range(1, _KILLS + 1):
            runner = start(process)
            wait_for_settled(sending_house, kill * _COUNT // (_KILLS + 2) + chance.randrange(5))
            # anywhere between two settlements: before, inside or after the call of the provider
            spin_until = time.monotonic() + chance.uniform(0, 0.03)
            while time.monotonic() < spin_until:
                pass
            os.kill(runner, signal.SIGKILL)
            questions += len(unsettled(sending_house))
        start(process)
        assert process.stdout is not None
        assert process.stdout.readline() == f"through {_COUNT}\n"
    assert sorted(sending_house.addresses()) == [f"{name}@example.org" for name in names]
    assert set(world.statuses(sending_house.connection).values()) == {"sent"}
    run = sending_house.connection.execute("select * from activation.campaign_runs").fetchone()
    assert run is not None
    assert (run["sent_count"], run["excluded_counts"]) == (_COUNT, {})
    assert questions > 0, "no kill came between claim and settlement: the test has tested little; run it again"


def test_a_claim_of_a_dead_run_whose_message_arrived_is_settled_and_not_sent_again(sending_house: House) -> None:
    sending_house.add_candidates(2)
    sending_house.run()
    sending_house.connection.execute(
        "update activation.sends set status = 'claimed', provider_message_id = null, settled_at = null"
    )
    run = sending_house.run()
    assert run.sent_count == 2
    assert len(sending_house.addresses()) == 2
    rows = sending_house.connection.execute("select provider_message_id from activation.sends").fetchall()
    taken = sending_house.connection.execute("select provider_message_id from activation.captured_messages").fetchall()
    assert sorted(map(json.dumps, rows)) == sorted(map(json.dumps, taken))


def test_a_claim_of_a_dead_run_whose_message_never_went_is_sent_under_its_old_id(sending_house: House) -> None:
    sending_house.add_candidates(1)
    send_id = world.add_send(sending_house.connection, "s000", status="claimed", at=utc_now() - _LATER)
    run = sending_house.run()
    message = world.captured(sending_house.connection)["s000@example.org"][0]
    assert message["custom_args"]["send_id"] == send_id
    assert run.sent_count == 1


def test_an_unsent_claim_of_somebody_who_has_left_is_given_back(sending_house: House) -> None:
    world.add_candidate(sending_house.connection, "ada", consents=False)
    world.add_send(sending_house.connection, "ada", status="claimed", at=utc_now() - _LATER)
    run = sending_house.run()
    assert run.excluded_counts == {"no_consent": 1}
    assert world.statuses(sending_house.connection) == {}
    assert sending_house.addresses() == []


def test_an_unsent_claim_under_a_former_id_does_not_keep_the_address_from_its_message(sending_house: House) -> None:
    world.add_candidate(sending_house.connection, "new-id", email="ada@example.org")
    world.add_send(sending_house.connection, "old-id", email="ada@example.org", status="claimed", at=utc_now() - _LATER)
    assert sending_house.run().sent_count == 1
    assert world.statuses(sending_house.connection) == {"new-id": "sent"}


def test_a_message_with_an_unknown_outcome_is_held_and_settled_by_the_next_run(sending_house: House) -> None:
    sending_house.add_candidates(4)
    sending_house.rehearse(kind="drop", is_stored=True)
    run = sending_house.run()
    assert (run.sent_count, run.excluded_counts) == (3, {"outcome_unknown": 1})
    held = claims.read_held(sending_house.connection)
    assert len(held) == 1
    assert "connection" in held[0].reason
    again = sending_house.run("run 2")
    assert again.excluded_counts == {"already_sent": 4}
    assert len(sending_house.addresses()) == 4
    assert set(world.statuses(sending_house.connection).values()) == {"sent"}


def test_a_message_that_was_lost_on_its_way_goes_out_in_the_next_run(sending_house: House) -> None:
    sending_house.add_candidates(2)
    sending_house.rehearse(kind="drop", is_stored=False)
    assert sending_house.run().excluded_counts == {"outcome_unknown": 1}
    again = sending_house.run("run 2", clock=lambda: utc_now() + _LATER)
    assert (again.sent_count, again.excluded_counts) == (1, {"already_sent": 1})
    assert sorted(sending_house.addresses()) == ["s000@example.org", "s001@example.org"]


def test_while_the_activity_api_does_not_answer_a_claim_is_held_and_never_guessed(sending_house: House) -> None:
    sending_house.add_candidates(1)
    world.add_send(sending_house.connection, "s000", status="claimed", at=utc_now() - _LATER)
    sending_house.rehearse(kind="status", status=403, on="activity", count=1)
    run = sending_house.run()
    assert (run.sent_count, run.excluded_counts) == (0, {"outcome_unknown": 1})
    assert "cannot be asked" in claims.read_held(sending_house.connection)[0].reason
    assert sending_house.addresses() == []
    assert sending_house.run("run 2").sent_count == 1


def test_a_real_provider_that_may_list_a_message_late_is_waited_for(sending_house: House) -> None:
    """With SENDGRID_HOST set the endpoint is a provider like any other, whose list may lag."""
    remote = sending_house.settings.model_copy(update={"sendgrid_host": sending_house.settings.local_email_url})
    house = House(remote, sending_house.connection, sending_house.definitions)
    house.add_candidates(1)
    world.add_send(house.connection, "s000", status="claimed", at=utc_now() - _LATER)
    assert house.run().excluded_counts == {"outcome_unknown": 1}
    assert "may lag until" in claims.read_held(house.connection)[0].reason
    later = timedelta(seconds=remote.sendgrid_activity_lag_seconds)
    assert house.run("run 2", clock=lambda: utc_now() + later).sent_count == 1
    assert house.addresses() == ["s000@example.org"]


def test_a_provider_that_asks_to_wait_is_waited_for(sending_house: House) -> None:
    sending_house.add_candidates(3)
    sending_house.rehearse(kind="status", status=429, count=2, retry_after_seconds=0)
    assert sending_house.run().sent_count == 3
    assert len(sending_house.addresses()) == 3


def test_a_provider_that_takes_nothing_stops_the_run_and_a_retry_goes_on_from_there(sending_house: House) -> None:
    sending_house.add_candidates(5)
    sending_house.rehearse(kind="status", status=401, count=1)
    with pytest.raises(CampaignStoppedError, match="run it again, and it goes on from here"):
        sending_house.run()
    assert world.statuses(sending_house.connection) == {}
    assert sending_house.run().sent_count == 5
    assert len(sending_house.addresses()) == 5


def test_one_unknown_outcome_after_another_stops_the_run(sending_house: House) -> None:
    sending_house.add_candidates(8)
    sending_house.rehearse(kind="drop", is_stored=True, count=8)
    with pytest.raises(CampaignStoppedError, match="3 messages in a row with an unknown outcome"):
        sending_house.run()
    assert len(sending_house.addresses()) == 3
    sending_house.end_rehearsal()
    assert sending_house.run().sent_count == 8
    assert len(sending_house.addresses()) == 8
