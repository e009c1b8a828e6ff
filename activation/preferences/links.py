"""Signed links to a subscriber's own pages: the preference centre and one-click unsubscribe.

In: a subscriber id. Out: a URL-safe token that only this installation can make, and back. A link in an old email must
still unsubscribe, so tokens do not expire; they open preferences only, never an account.
"""

from itsdangerous import BadData, URLSafeSerializer

from marquee.errors import MarqueeError
from marquee.kept_secrets import kept_secret
from marquee.settings import Settings

_SALT = "marquee.preferences"


class InvalidLinkError(MarqueeError):
    """A token that this installation did not sign."""


def sign_subscriber(subscriber_id: str, settings: Settings) -> str:
    """A token for links that open `subscriber_id`'s preferences."""
    token = _serializer(settings).dumps(subscriber_id)
    return token if isinstance(token, str) else token.decode()


def read_token(token: str, settings: Settings) -> str:
    """The subscriber id in `token`.

    Raises:
        InvalidLinkError: the token was changed, cut off, or signed with another secret.
    """
    try:
        subscriber_id = _serializer(settings).loads(token)
    except BadData as error:
        raise InvalidLinkError("this preference link is not valid; use the newest email's link") from error
    if not isinstance(subscriber_id, str):
        raise InvalidLinkError("this preference link holds no subscriber; use the newest email's link")
    return subscriber_id


def preferences_url(subscriber_id: str, settings: Settings) -> str:
    """Address of the subscriber's preference centre."""
    return f"{settings.serving_url}/preferences/{sign_subscriber(subscriber_id, settings)}"


def unsubscribe_url(subscriber_id: str, settings: Settings) -> str:
    """Address that takes the one-click POST of RFC 8058."""
    return f"{settings.serving_url}/preferences/{sign_subscriber(subscriber_id, settings)}/unsubscribe"


def _serializer(settings: Settings) -> URLSafeSerializer:
    secret = settings.link_secret.get_secret_value() if settings.link_secret else None
    return URLSafeSerializer(secret or kept_secret(settings.var_dir / "link_secret"), salt=_SALT)
