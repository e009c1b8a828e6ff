"""Structured logs: one JSON object a line off a terminal, coloured text on one. Personal data never goes in."""

import logging
import sys

import structlog


def configure_logs(level: str) -> None:
    """Send our own records of `level` and above to standard error, and what libraries say from a warning on.

    A library's chatter would tear the live display; `DEBUG` shows it all the same.
    """
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        # looked up at each record: whoever takes standard error for a while must not leave a closed file behind
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    libraries = logging.DEBUG if level == "DEBUG" else max(logging.WARNING, logging.getLevelNamesMapping()[level])
    logging.basicConfig(level=libraries, stream=sys.stderr, force=False)
