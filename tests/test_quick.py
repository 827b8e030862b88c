"""`scripts/test quick` runs what needs this process alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = ("tests/cli/test_screen.py", "tests/cli/test_token.py", "tests/tags/test_definitions.py", "tests/serving/test_serve.py")


@pytest.mark.thorough
def test_quick_leaves_out_what_needs_a_mongod_or_a_service() -> None:
    """Of tests on each store those on mongomock stay; nothing starts a mongod or a service, and nothing is skipped."""
    command = [sys.executable, "-m", "pytest", "--quick", "--collect-only", "-q", "-p", "no:cacheprovider", *MODULES]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [line for line in printed.splitlines() if "::" in line]

    assert {"tests/cli/test_screen.py"} <= {name.partition("::")[0] for name in names} <= set(MODULES[:1] + MODULES[2:3])
    assert not [name for name in names if "mongod" in name]
    assert "deselected" in printed
