"""What a recipient gets: words, titles, links and headers, whatever the data holds."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from activation.campaigns.audience import Candidate
from activation.campaigns.definitions import Campaign, CampaignError, load_campaigns
from activation.campaigns.messages import MessageMaker
from activation.channels.email.message import EmailMessage
from activation.channels.email.rendering import (
    EmailContent,
    EmailTemplate,
    RenderedEmail,
    TemplateError,
    Tile,
    compile_mjml,
)
from activation.preferences.links import read_token
from activation.serving.recommender import Recommender, open_recommender
from marquee.settings import Settings
from tests.activation.campaigns import world
from tests.activation.serving import world as serving_world
from tests.activation.serving.world import NOW

SEND_ID = uuid.UUID("00000000-0000-4000-8000-000000000001")
TILE = Tile(
    title="Blue", kind="Film", genres="Drama", reason="because you watched Red", url="http://localhost/?a=1&b=2",
    background="#112233", accent="#445566", is_simulated=False,
)  # fmt: skip
CONTENT = EmailContent(
    first_name="Ada", day=None, tiles=(TILE,), is_personal=True, is_simulated=False, home_url="http://localhost/",
    preferences_url="http://localhost/preferences/t", unsubscribe_url="http://localhost/preferences/t/unsubscribe",
)  # fmt: skip
CANDIDATE = Candidate(
    subscriber_id="ada", occurrence_key=world.OCCURRENCE, email="ada@example.org", email_hash="h", first_name="Ada",
    is_simulated=True,
)  # fmt: skip
SHIPPED = {campaign.campaign_id: campaign for campaign in load_campaigns()}


def render(campaign_id: str, content: EmailContent = CONTENT) -> RenderedEmail:
    campaign = SHIPPED[campaign_id]
    return EmailTemplate(campaign.template, campaign.subject).render(content)


@pytest.mark.parametrize("campaign_id", SHIPPED)
@pytest.mark.parametrize("first_name", ["Ada", None])
@pytest.mark.parametrize("day", [None, 1, 3, 7, 14, 30, 99])
@pytest.mark.parametrize("tiles", [(), (TILE, TILE)])
def test_every_shipped_message_can_be_made_from_whatever_is_known(
    campaign_id: str, first_name: str | None, day: int | None, tiles: tuple[Tile, ...]
) -> None:
    email = render(campaign_id, replace(CONTENT, first_name=first_name, day=day, tiles=tiles))
    for part in (email.subject, email.html, email.plain):
        assert "None" not in part
        assert "{{" not in part
        assert "{%" not in part
        assert ("Ada" in part) <= (first_name is not None)
    assert email.html.count(TILE.title) >= len(tiles)
    assert 5 < len(email.subject) <= 120


def test_each_onboarding_day_has_its_own_words() -> None:
    bodies = {day: render("onboarding", replace(CONTENT, day=day)).plain for day in (1, 3, 7, 14, 30)}
    assert len(set(bodies.values())) == len(bodies)
    assert "Two weeks together" in bodies[14]


def test_what_is_in_the_data_cannot_become_markup() -> None:
    hostile = "<script>alert(1)</script>\"'{{ 7 * 7 }}"
    email = render(
        "re_engagement",
        replace(CONTENT, first_name=hostile, tiles=(replace(TILE, title=hostile, reason=hostile, genres=hostile),)),
    )
    assert "<script" not in email.html
    assert "49" not in email.html
    assert "&lt;script&gt;" in email.html
    # the plain part is not HTML: what is not markup there is not escaped either
    assert "<script>alert(1)</script>" in email.plain


def test_a_name_with_line_breaks_cannot_start_another_header() -> None:
    email = render("re_engagement", replace(CONTENT, first_name="Ada\r\nBcc: all@example.org"))
    assert "\n" not in email.subject
    assert "\r" not in email.subject


def test_a_message_loads_nothing_from_elsewhere() -> None:
    html = render("re_engagement").html
    assert "<img" not in html
    assert "url(" not in html
    assert "<link" not in html


def test_a_dark_mail_program_is_told_which_colours_to_use() -> None:
    html = render("re_engagement").html
    assert 'name="color-scheme" content="light dark"' in html
    assert "prefers-color-scheme: dark" in html


def test_what_is_simulated_is_said_and_what_is_not_is_not() -> None:
    assert "Simulated" not in render("re_engagement").html
    simulated = replace(CONTENT, is_simulated=True, tiles=(replace(TILE, is_simulated=True),))
    email = render("re_engagement", simulated)
    for part in (email.html, email.plain):
        assert "imulated" in part
        assert "simulated title" in part


def test_a_list_that_is_not_personal_does_not_claim_to_be() -> None:
    html = render("re_engagement", replace(CONTENT, is_personal=False)).html
    assert "Picked for you" not in html
    assert "not chosen from what you watched" in html


def test_broken_mjml_is_named() -> None:
    with pytest.raises(TemplateError, match=r"templates/broken\.mjml is not MJML"):
        compile_mjml("<mjml><mj-body><mj-nothing></mj-body></mjml>", "broken.mjml")


@pytest.fixture
def recommender(settings: Settings, warehouse: Connection[DictRow]) -> Iterator[Recommender]:
    """One that knows contents and no model: it gives the popular list."""
    world.build(warehouse)
    world.add_subscriber(warehouse, "ada")
    warehouse.commit()
    with closing(open_recommender(settings)) as opened:
        yield opened


def make(
    recommender: Recommender, settings: Settings, candidate: Candidate = CANDIDATE, campaign: Campaign | None = None
) -> EmailMessage:
    return MessageMaker(campaign or world.campaign_of(), settings, recommender).make(candidate, SEND_ID, NOW)


def test_a_message_can_be_found_again_and_unsubscribed_from_in_one_click(
    settings: Settings, recommender: Recommender
) -> None:
    message = make(recommender, settings)
    assert message.to_email == "ada@example.org"
    assert message.categories == ("re_engagement", "suggestions")
    assert message.custom_args["send_id"] == str(SEND_ID)
    assert message.custom_args["campaign_id"] == "re_engagement"
    assert message.custom_args["occurrence_key"] == world.OCCURRENCE
    assert len(message.custom_args["content_ids"].split(",")) == 6
    # RFC 8058: one address in angle brackets, and the word that allows a POST
    assert message.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = message.headers["List-Unsubscribe"]
    assert link.startswith("<") and link.endswith(">")
    token = urlsplit(link[1:-1]).path.split("/")[2]
    assert read_token(token, settings) == "ada"


def test_links_to_the_homepage_say_which_message_they_were_in(settings: Settings, recommender: Recommender) -> None:
    message = make(recommender, settings)
    link = next(word for word in message.plain.split() if word.startswith(f"{settings.serving_url}/?"))
    assert parse_qs(urlsplit(link).query) == {
        "subscriber_id": ["ada"], "utm_source": ["marquee"], "utm_medium": ["email"],
        "utm_campaign": ["re_engagement"], "utm_content": [world.OCCURRENCE], "send_id": [str(SEND_ID)],
        "content_id": [message.custom_args["content_ids"].split(",")[0]],
    }  # fmt: skip


def test_a_message_without_a_model_shows_what_is_popular_and_says_so(
    settings: Settings, recommender: Recommender
) -> None:
    message = make(recommender, settings)
    assert message.custom_args["model_version"] == ""
    assert "Popular this week" in message.html


def test_a_candidate_without_an_address_is_refused(settings: Settings, recommender: Recommender) -> None:
    with pytest.raises(CampaignError, match="subscriber ada has no address"):
        make(recommender, settings, replace(CANDIDATE, email=None))


def test_with_consent_and_a_model_the_titles_are_personal_and_say_why(
    settings: Settings, warehouse: Connection[DictRow]
) -> None:
    serving_world.build_marts(warehouse)
    serving_world.put_online(settings)
    serving_world.write_artefact(settings.models_dir, "20260301T000000-abcdef01")
    serving_world.promote(warehouse, "20260301T000000-abcdef01")
    with closing(open_recommender(settings)) as opened:
        lover = make(opened, settings, replace(CANDIDATE, subscriber_id=serving_world.DRAMA_LOVER))
        private = make(opened, settings, replace(CANDIDATE, subscriber_id=serving_world.NO_CONSENT))
    assert lover.custom_args["model_version"] == "20260301T000000-abcdef01"
    assert "Because you watched Title c05" in lover.html
    assert "chosen from what you watched" in lover.html
    assert private.custom_args["model_version"] == ""
    assert "ecause you watched" not in private.html
