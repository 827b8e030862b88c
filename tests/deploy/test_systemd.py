"""The systemd unit: of settings that there are, and as closely held as it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dms_tags.settings import Settings

UNIT = Path(__file__).parents[2] / "scripts" / "deploy" / "systemd" / "dms-tags.service"
ANALYZE = shutil.which("systemd-analyze") or ""
MOST_EXPOSED = 15
"""`systemd-analyze security` tells 0 for what can do nothing to 100 for what can do all."""

needs_systemd = pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not here")


def test_the_settings_are_settings(tmp_path: Path) -> None:
    """Every variable is one that the service reads, with a value that it takes."""
    given = dict(re.findall(r"^Environment=(DMS_TAGS_\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    (tmp_path / "mongo-uri").write_text("mongodb://mongo.example/")
    placed = {name: value.replace("%d", str(tmp_path)).replace("%S", "/var/lib") for name, value in given.items()}
    settings = Settings.from_environment(placed)

    assert len(given) == UNIT.read_text().count("\nEnvironment=")
    assert ("tokens", "mongodb://mongo.example/") == (settings.authentication, settings.mongo_uri)
    assert Path("/var/lib/dms-tags") == settings.data
    assert settings.data / "signing.key" == settings.signing_key_file


@needs_systemd
def test_systemd_takes_it(tmp_path: Path) -> None:
    """Nothing in it is unknown to systemd, with a command at the place of the service's."""
    command = tmp_path / "dms-tags"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    unit = tmp_path / "dms-tags.service"
    unit.write_text(UNIT.read_text().replace("/opt/dms-tags/bin/dms-tags", str(command)))
    done = subprocess.run([ANALYZE, "verify", "--man=no", unit], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)


@needs_systemd
def test_it_is_confined() -> None:
    """What systemd itself thinks of its sandbox."""
    line = [ANALYZE, "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager", str(UNIT)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout
