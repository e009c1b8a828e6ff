"""The key that the sender shows and the local endpoint wants to see: the one place where the two agree on it."""

from marquee.settings import Settings

# Not a secret: it opens nothing but the local endpoint, and SendGrid itself refuses it.
LOCAL_KEY = "SG.local-endpoint-only"


def api_key(settings: Settings) -> str:
    """The account's key, or the local one when none is set."""
    return LOCAL_KEY if settings.sendgrid_api_key is None else settings.sendgrid_api_key.get_secret_value()
