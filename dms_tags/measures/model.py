"""What was measured of the database, as plain data that a file can keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class TrailOf:
    """A tenant's trail: the highest position, how many entries no checkpoint covers, ages in seconds.

    `checkpoint_age` is that of the newest checkpoint, None where there is none; `unsigned_age` that of the oldest entry
    which no checkpoint covers, 0 where all are covered.  `untaken` is how many checkpoints each witness has not taken, by its kind.
    """

    tenant: str
    head: int
    unsigned: int
    unsigned_age: float
    checkpoint_age: float | None
    untaken: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Depth:
    """How many tags are in one state of an enforced definition, and for how many seconds the oldest has been."""

    tenant: str
    name: str
    state: int
    depth: int
    oldest: float


@dataclass(frozen=True, slots=True)
class SubscriptionOf:
    """How far a subscription is behind, in positions and seconds, and whether the service itself paused it."""

    tenant: str
    name: str
    lag: int
    lag_seconds: float
    paused: bool


@dataclass(frozen=True, slots=True)
class Measures:
    """How the database stands, over all tenants; `at` is when that was read, in seconds since 1970.

    `waiting` resources have changes that are not in the trail yet, the oldest of them `lag` seconds old.  `left_out` counts
    the tenants, the states of definitions and the subscriptions for which there was no room.  `answers` is whether the last look found MongoDB:
    where it did not, the rest is what was known before.
    """

    at: float
    answers: bool
    waiting: int
    lag: float
    leases: int
    signing: bool
    unsigned_since_restore: bool
    trails: tuple[TrailOf, ...]
    depths: tuple[Depth, ...]
    subscriptions: tuple[SubscriptionOf, ...]
    left_out: int

    def without_answer(self) -> Measures:
        """The same, after a look that MongoDB did not answer."""
        return replace(self, answers=False)

    def plain(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return asdict(self)

    @classmethod
    def of_plain(cls, kept: Mapping[str, Any]) -> Measures:
        """What `plain` gave."""
        trails = tuple(TrailOf(**trail) for trail in kept["trails"])
        depths = tuple(Depth(**depth) for depth in kept["depths"])
        subscriptions = tuple(SubscriptionOf(**each) for each in kept["subscriptions"])
        return cls(**{**kept, "trails": trails, "depths": depths, "subscriptions": subscriptions})
