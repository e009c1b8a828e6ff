"""One candidate's message: recommendations, links that can be attributed, headers for the unsubscribe button.

In: a campaign, a candidate, the recommender. Out: an `EmailMessage`. Nothing is sent or stored here.
"""

import re
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from activation.campaigns.audience import Candidate
from activation.campaigns.definitions import Campaign, CampaignError
from activation.channels.email.message import EmailMessage
from activation.channels.email.rendering import EmailContent, EmailTemplate, Tile
from activation.pages.artwork import tile_colours
from activation.pages.rendering import genre_name
from activation.preferences.links import preferences_url, unsubscribe_url
from activation.serving.answers import Recommendation, RecommendedItem
from activation.serving.recommender import Recommender, Visitor
from marquee.settings import Settings

_KINDS = {"video": "Film", "article": "Article", "podcast": "Podcast"}
_MAX_GENRES = 3
_DAY = re.compile(r"^day_(\d+)$")


class MessageMaker:
    """Makes a campaign's messages; the template is compiled once. Safe to use from several threads."""

    def __init__(self, campaign: Campaign, settings: Settings, recommender: Recommender) -> None:
        self._campaign = campaign
        self._settings = settings
        self._recommender = recommender
        self._template = EmailTemplate(campaign.template, campaign.subject)

    def make(self, candidate: Candidate, send_id: UUID, now: datetime) -> EmailMessage:
        """The message to `candidate`, known to the provider as `send_id`.

        Raises:
            CampaignError: the candidate has no address, or there is nothing that could be recommended to anybody.
        """
        if not candidate.email:
            raise CampaignError(f"subscriber {candidate.subscriber_id} has no address; leave it out of the campaign")
        visitor = Visitor(candidate.subscriber_id)
        recommended = self._recommender.recommend(visitor, self._campaign.recommendation_count, "email", now)
        if not recommended.items:
            raise CampaignError(
                "the catalogue is empty, so that there is nothing to recommend; build the profiles first"
            )
        rendered = self._template.render(self._content(candidate, send_id, recommended))
        return EmailMessage(
            to_email=candidate.email,
            subject=rendered.subject,
            html=rendered.html,
            plain=rendered.plain,
            # the provider's events come back with these: the first category is the campaign
            categories=(self._campaign.campaign_id, self._campaign.category),
            custom_args={
                "send_id": str(send_id),
                "campaign_id": self._campaign.campaign_id,
                "occurrence_key": candidate.occurrence_key,
                "request_id": str(recommended.request_id),
                "model_version": recommended.model_version or "",
                "content_ids": ",".join(item.content_id for item in recommended.items),
            },
            headers={
                "List-Unsubscribe": f"<{unsubscribe_url(candidate.subscriber_id, self._settings)}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
        )

    def _content(self, candidate: Candidate, send_id: UUID, recommended: Recommendation) -> EmailContent:
        step = _DAY.match(candidate.occurrence_key)
        return EmailContent(
            first_name=candidate.first_name,
            day=int(step[1]) if step else None,
            tiles=tuple(self._tile(item, candidate, send_id) for item in recommended.items),
            is_personal=not recommended.is_fallback,
            is_simulated=candidate.is_simulated,
            home_url=self._home_url(candidate, send_id),
            preferences_url=preferences_url(candidate.subscriber_id, self._settings),
            unsubscribe_url=unsubscribe_url(candidate.subscriber_id, self._settings),
        )

    def _tile(self, item: RecommendedItem, candidate: Candidate, send_id: UUID) -> Tile:
        background, accent = tile_colours(item.content_id, item.genres)
        return Tile(
            title=item.title,
            kind=_KINDS.get(item.content_type, item.content_type.capitalize()),
            genres=", ".join(genre_name(genre) for genre in item.genres[:_MAX_GENRES]),
            reason=item.reason,
            url=self._home_url(candidate, send_id, item.content_id),
            background=background,
            accent=accent,
            is_simulated=item.is_simulated,
        )

    def _home_url(self, candidate: Candidate, send_id: UUID, content_id: str | None = None) -> str:
        """The subscriber's homepage, with what attributes a visit to this message."""
        parameters = {
            "subscriber_id": candidate.subscriber_id,
            "utm_source": "marquee",
            "utm_medium": "email",
            "utm_campaign": self._campaign.campaign_id,
            "utm_content": candidate.occurrence_key,
            "send_id": str(send_id),
            **({"content_id": content_id} if content_id is not None else {}),
        }
        return f"{self._settings.serving_url}/?{urlencode(parameters)}"
