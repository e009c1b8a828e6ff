"""Environments of the peers' own, below the project's packages, so that only what the project lacks is installed."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path


def install(var_dir: Path, name: str, packages: Sequence[str]) -> Path:
    """The Python of the environment `name`, made when it is not there whole.

    Args:
        packages: requirements, which win over what the project has of the same name.
    """
    folder = var_dir / "peers" / name
    python, done = folder / "bin" / "python", folder / "installed.json"
    if not done.exists() or json.loads(done.read_text()) != list(packages):
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
        own = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        (Path(own) / "project.pth").write_text(sysconfig.get_path("purelib"))
        pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
        # pip calls it an error that the project's own packages would want others: they are not used there
        said = subprocess.run([*pip, "install", *packages], check=False, capture_output=True, text=True)
        if said.returncode:
            raise RuntimeError(f"the environment of {name} cannot be installed:\n{said.stderr}")
        done.write_text(json.dumps(list(packages)))
    return python
