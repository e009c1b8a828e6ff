"""One email as campaigns hand it to a channel: rendered, addressed, and labelled so that it can be found again."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EmailMessage:
    """A message to one address.

    `custom_args` come back with every event of the provider; a campaign's always hold send_id, campaign_id and
    occurrence_key. `headers` are those of the email itself, such as List-Unsubscribe.
    """

    to_email: str
    subject: str
    html: str
    plain: str
    categories: tuple[str, ...] = ()
    custom_args: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
