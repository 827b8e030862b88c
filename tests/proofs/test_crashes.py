from __future__ import annotations

from pathlib import Path

from tests.proofs.crashes import crash_again_and_again
from tests.proofs.failover import fail_over_again_and_again


def test_crashes_under_load(tmp_path: Path) -> None:
    """After a crash of a service, of one of its processes, and of mongod, what was acknowledged is in the trail, once."""
    crash_again_and_again(tmp_path, cycles=3)


def test_fail_over_under_load(tmp_path: Path) -> None:
    """When the primary dies, callers are told to come back, none hangs, and nothing that was acknowledged is lost."""
    fail_over_again_and_again(tmp_path, times=1)
