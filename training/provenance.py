"""Which state of the project's repository a version was made from, where it was made from one."""

import subprocess

from marquee.settings import PROJECT_ROOT


def source_revision() -> str | None:
    """The commit that is checked out, with `-dirty` where files differ from it; None outside a repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(PROJECT_ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
