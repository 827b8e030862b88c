"""The bare Node service, installed by npm into a temporary folder where Node is there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent / "peers" / "node"


def prepare(folder: Path) -> Path | None:
    """The file that `node` runs, in `folder`, with what it needs beside it; None, with a line, where that cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        print("bench: no node or npm here: the bare Node service is left out", flush=True)
        return None
    made = folder / "node"
    shutil.copytree(SOURCE, made)
    command = ["npm", "install", "--silent", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    if subprocess.run(command, cwd=made, stdout=sys.stderr).returncode != 0:
        print("bench: npm could not install the bare Node service: it is left out", flush=True)
        return None
    return made / "server.js"
