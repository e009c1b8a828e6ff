"""The JavaScript clients of tests/clients, installed once for a lock, under the virtual environment."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from marquee.settings import PROJECT_ROOT

_DECLARED = PROJECT_ROOT / "tests" / "clients"
_FILES = ("package.json", "package-lock.json", ".npmrc")
_BIN = Path(sys.executable).parent
NODE = str(_BIN / "node")


def installed_clients() -> Path:
    """The folder that holds `node_modules`, made by `npm ci` when this lock has none yet."""
    digest = hashlib.sha256(b"".join((_DECLARED / name).read_bytes() for name in _FILES)).hexdigest()[:12]
    folder = Path(sys.prefix) / "clients" / digest
    if folder.exists():
        return folder
    folder.parent.mkdir(exist_ok=True)
    # whole or not at all, whoever else installs or is killed
    draft = Path(tempfile.mkdtemp(dir=folder.parent))
    for name in _FILES:
        shutil.copy(_DECLARED / name, draft / name)
    subprocess.run(
        [str(_BIN / "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=draft,
        check=True,
        env={**os.environ, "PATH": f"{_BIN}:{os.environ['PATH']}"},
    )
    try:
        draft.rename(folder)
    except OSError:
        shutil.rmtree(draft)
    return folder
