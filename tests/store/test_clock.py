"""MongoDB's clock: a slow answer is no wrong clock."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from dms_tags.store.clock import DatabaseClock

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Machine:
    """A machine whose calls of MongoDB take `there` seconds out and `back` seconds home, its clock `ahead` seconds ahead."""

    def __init__(self, there: float, back: float, ahead: float = 0) -> None:
        self.passed = timedelta()
        self._there, self._back, self._ahead = (timedelta(seconds=each) for each in (there, back, ahead))

    def own(self) -> datetime:
        return BEGIN + self.passed + self._ahead

    def ask(self) -> datetime:
        self.passed += self._there
        told = BEGIN + self.passed
        self.passed += self._back
        return told


@pytest.mark.parametrize(("there", "back"), [(3, 0), (0, 3), (1.5, 1.5), (0, 0)])
def test_a_slow_answer_is_no_wrong_clock(there: float, back: float, caplog: pytest.LogCaptureFixture) -> None:
    """A machine that is right stays so, whichever way was the slow one; nothing is said of its clock."""
    machine = Machine(there, back)
    clock = DatabaseClock(machine.ask, machine.own)

    recorded = clock.recorded()

    assert BEGIN + machine.passed == recorded
    assert not clock.off
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("ahead", [150, -150])
def test_a_wrong_clock_is_found_also_by_slow_answers(ahead: float) -> None:
    """What a slow answer cannot explain is believed."""
    machine = Machine(1, 1, ahead)
    clock = DatabaseClock(machine.ask, machine.own)

    told = clock.recorded()

    assert abs(told - (BEGIN + machine.passed)) <= timedelta(seconds=1)
    assert clock.off
