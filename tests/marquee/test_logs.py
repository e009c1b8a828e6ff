"""Where records go."""

import contextlib
import io

import pytest
import structlog

from marquee.logs import configure_logs


def test_a_record_outlives_the_stream_that_standard_error_was(capsys: pytest.CaptureFixture[str]) -> None:
    taken = io.StringIO()
    log = structlog.get_logger()
    with contextlib.redirect_stderr(taken):
        configure_logs("INFO")
        log.info("while.taken")
    taken.close()
    log.info("afterwards", count=3)
    assert "afterwards" in capsys.readouterr().err
