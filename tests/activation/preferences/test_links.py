"""A signed link opens one subscriber's preferences, and only a link that this installation signed does."""

import string
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer
from pydantic import SecretStr

from activation.preferences.links import (
    InvalidLinkError,
    preferences_url,
    read_token,
    sign_subscriber,
    unsubscribe_url,
)
from marquee.settings import Settings

SUBSCRIBER = "9f61408e3afb633e50cdf1b20de6f466"
TOKEN_LETTERS = string.ascii_letters + string.digits + "-_."


@cache
def installation() -> Settings:
    return Settings(var_dir=Path(mkdtemp()), link_secret=SecretStr("one secret"), public_url="https://media.example")


@given(st.text(min_size=1, max_size=100))
def test_a_link_leads_back_to_its_subscriber(subscriber_id: str) -> None:
    assert read_token(sign_subscriber(subscriber_id, installation()), installation()) == subscriber_id


@given(st.text(max_size=300))
@example("")
@example(".")
@example("null")
@example(f'"{SUBSCRIBER}"')
def test_text_that_nobody_signed_is_refused(token: str) -> None:
    with pytest.raises(InvalidLinkError):
        read_token(token, installation())


@given(place=st.integers(0, 200), letter=st.sampled_from(TOKEN_LETTERS))
def test_a_link_that_was_changed_never_leads_to_somebody_else(place: int, letter: str) -> None:
    token = sign_subscriber(SUBSCRIBER, installation())
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    assume(changed != token)
    try:
        # the last letter carries two bits that say nothing, so that a neighbour of it may be the same signature
        assert read_token(changed, installation()) == SUBSCRIBER
        assert place == len(token) - 1
    except InvalidLinkError:
        pass


@given(st.text(min_size=1, max_size=60))
def test_another_subscriber_s_signature_does_not_fit(other: str) -> None:
    assume(other != SUBSCRIBER)
    payload, _, _ = sign_subscriber(other, installation()).rpartition(".")
    _, _, signature = sign_subscriber(SUBSCRIBER, installation()).rpartition(".")
    with pytest.raises(InvalidLinkError):
        read_token(f"{payload}.{signature}", installation())


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_another_secret_or_another_use_of_ours_signs_nothing_here(subscriber_id: str, secret: str) -> None:
    assume(secret != "one secret")
    forged = URLSafeSerializer(secret, salt="marquee.preferences").dumps(subscriber_id)
    elsewhere = URLSafeSerializer("one secret", salt="marquee.elsewhere").dumps(subscriber_id)
    for token in (forged, elsewhere):
        with pytest.raises(InvalidLinkError):
            read_token(str(token), installation())


def test_a_signed_value_that_is_no_subscriber_is_refused() -> None:
    token = URLSafeSerializer("one secret", salt="marquee.preferences").dumps(["a", "list"])
    with pytest.raises(InvalidLinkError, match="holds no subscriber"):
        read_token(str(token), installation())


def test_links_start_with_the_public_address_and_name_no_subscriber() -> None:
    for address in (preferences_url(SUBSCRIBER, installation()), unsubscribe_url(SUBSCRIBER, installation())):
        assert address.startswith("https://media.example/preferences/")
        assert SUBSCRIBER not in address


def test_without_a_configured_secret_one_is_kept_for_this_installation(tmp_path: Path) -> None:
    settings_of_one = Settings(var_dir=tmp_path / "one", link_secret=None)
    settings_of_two = Settings(var_dir=tmp_path / "two", link_secret=None)
    token = sign_subscriber(SUBSCRIBER, settings_of_one)
    assert read_token(token, Settings(var_dir=tmp_path / "one", link_secret=None)) == SUBSCRIBER
    with pytest.raises(InvalidLinkError):
        read_token(token, settings_of_two)
