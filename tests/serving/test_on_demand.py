"""A process that runs only while it is wanted."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from dms_tags.serving import on_demand
from dms_tags.serving.mongod import eventually
from dms_tags.serving.on_demand import OnDemand

WAITS = (sys.executable, "-S", "-c", "import os, signal, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); signal.pause()")


def test_runs_while_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is started when it is wanted, once, again where it died, and ended when it is wanted no more."""
    monkeypatch.setattr(on_demand, "FIRST_WAIT", 0.01)
    wanted = [False]
    told = tmp_path / "pids"
    told.touch()
    process = OnDemand("courier", (*WAITS, str(told)), lambda: wanted[0])

    def runs(count: int) -> bool:
        process.look()
        return len(told.read_text().splitlines()) == count

    try:
        process.look()
        assert [] == told.read_text().splitlines()
        wanted[0] = True
        assert eventually(lambda: runs(1), 20)
        first = int(told.read_text())
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: runs(2), 20)
        second = int(told.read_text().splitlines()[1])
    finally:
        wanted[0] = False
        process.look()

    assert "courier ended with code -9" in caplog.text
    for pid in (first, second):
        assert not Path("/proc", str(pid)).exists()
