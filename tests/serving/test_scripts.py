"""The scripts that prepare a machine: exact pins, and clear words where something is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINS = ("requirements.txt", "requirements-test.txt")


def pinned(files: Sequence[str] = PINS) -> dict[str, str]:
    """Name, as the index of packages spells it, and version of everything that is installed from the pin files."""
    lines = [line for file in files for line in (ROOT / "scripts" / file).read_text().splitlines()]
    packages = [line.partition(";")[0].strip() for line in lines if not line.startswith(("#", "-r "))]
    return {_name(name): version for name, _, version in (package.partition("==") for package in packages)}


def test_everything_that_is_installed_has_one_exact_version() -> None:
    """The pin files name a version for each package, no address, and just what the project asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    wanted = (one.partition(";")[0].strip().partition("==") for one in asked)

    assert all(re.fullmatch(r"[0-9][0-9a-z.+]*", version) for version in pinned().values())
    assert {_name(name): version for name, _, version in wanted}.items() <= pinned().items()
    assert {_name(one.partition("==")[0]) for one in project["dependencies"]} <= pinned(PINS[:1]).keys()


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ("exit 1", "dms-tags needs Python 3.11 or newer"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "dms-tags needs Python's venv module"),
    ],
)
def test_what_a_machine_lacks_is_said_in_one_line(tmp_path: Path, answers: str, says: str) -> None:
    """Without a Python that will do, or without its venv module, one line says what to get."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{answers}\n")
    python.chmod(0o755)

    done = subprocess.run(
        [tmp_path / "scripts" / "serve"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == done.returncode
    (line,) = done.stderr.splitlines()
    assert line.startswith(says)


def _name(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
