"""Why a request is not taken: a status, and a message that says what to do.

The status is one that Segment's clients understand: they drop the events at a 4xx, and send them again at 429 and 5xx.
"""

from marquee.errors import MarqueeError


class RefusedRequestError(MarqueeError):
    """A request that is answered with `status` and stored in no part."""

    def __init__(self, status: int, message: str, field: str | None = None, retry_after_seconds: int | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field
        self.retry_after_seconds = retry_after_seconds


def too_busy() -> RefusedRequestError:
    """More is waiting for storage than may wait."""
    return RefusedRequestError(
        429, "more events are waiting than the collector may keep in memory; send this again later",
        retry_after_seconds=1,
    )  # fmt: skip


def storage_unavailable() -> RefusedRequestError:
    """The database did not confirm; a message id makes sending again safe."""
    return RefusedRequestError(
        503, "the events could not be stored now; send them again with the same messageId", retry_after_seconds=2
    )
