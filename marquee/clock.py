"""The one place that asks what time it is: everything else takes `now`, so that a past day can be run again."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present moment, time-zone aware, in UTC."""
    return datetime.now(UTC)


def parse_moment(text: str) -> datetime:
    """Read an ISO 8601 moment; one without an offset is taken as UTC.

    Raises:
        ValueError: `text` is not an ISO 8601 date or moment.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
