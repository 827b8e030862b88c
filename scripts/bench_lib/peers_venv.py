"""The virtual environment of the peers, apart from the project's own: their versions must not bend ours."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "peers" / "requirements.txt"
FOLDER = Path(__file__).parent.parent.parent / ".venv-peers"


def prepare() -> Path:
    """Makes the environment where it is missing or older than its pins; gives the path of its Python."""
    python = FOLDER / "bin" / "python"
    stamp = FOLDER / "pins"
    pins = REQUIREMENTS.read_text()
    if stamp.exists() and stamp.read_text() == pins:
        return python
    print("bench: preparing the peers (Eve, Flask, Beanie, procrastinate) in .venv-peers", flush=True)
    venv.create(FOLDER, with_pip=True, clear=True)
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "-r",
        str(REQUIREMENTS),
    ]
    if subprocess.run(install, stdout=sys.stderr).returncode != 0:
        raise SystemExit("bench: the peers could not be installed; see the lines above")
    (FOLDER / ".gitignore").write_text("*\n")
    stamp.write_text(pins)
    return python
