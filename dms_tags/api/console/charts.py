"""What is drawn, as numbers: the templates make SVG of them, with the same in words beside it."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dms_tags.tags.definitions import Definition

MOST_STATES: Final = 24
"""States of a definition that are drawn; one with more is told as a table alone."""

BOX_WIDTH: Final = 132
BOX_HEIGHT: Final = 58
GAP_X: Final = 64
GAP_Y: Final = 34
MARGIN: Final = 30


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart: where it stands, how high it is, what it tells."""

    x: float
    y: float
    width: float
    height: float
    label: str
    count: int


def bars(counts: Sequence[tuple[str, int]], *, width: int = 960, height: int = 160) -> list[Bar]:
    """Bars for counts with their labels, side by side, the highest as high as the chart."""
    step = width / max(1, len(counts))
    most = max((count for _, count in counts), default=0) or 1
    made = []
    for number, (label, count) in enumerate(counts):
        high = max(2.0, height * count / most) if count else 0.0
        made.append(Bar(round(number * step + 2, 1), round(height - high, 1), round(step - 4, 1), round(high, 1), label, count))
    return made


@dataclass(frozen=True, slots=True)
class Box:
    """A state in a diagram."""

    x: int
    y: int
    state: int
    name: str
    initial: bool


@dataclass(frozen=True, slots=True)
class Diagram:
    """The states of a definition from left to right, and the steps between them as SVG paths."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    steps: tuple[str, ...]


def diagram(definition: Definition) -> Diagram | None:
    """The diagram of a definition; None where it has too many states to be read."""
    if len(definition.states) > MOST_STATES:
        return None
    columns = _columns(definition)
    boxes: dict[int, Box] = {}
    for column, states in enumerate(columns):
        for row, state in enumerate(states):
            initial = definition.initial is not None and state in definition.initial
            x, y = MARGIN + column * (BOX_WIDTH + GAP_X), MARGIN + row * (BOX_HEIGHT + GAP_Y)
            boxes[state] = Box(x, y, state, definition.states[state], initial)
    deepest = max((box.y for box in boxes.values()), default=0) + BOX_HEIGHT
    back = 0
    steps = []
    for state, following in sorted((definition.transitions or {}).items()):
        for other in sorted(following):
            if other == state:
                continue
            if boxes[other].x <= boxes[state].x:
                back += 1
                steps.append(_back(boxes[state], boxes[other], deepest + 14 * back))
            else:
                steps.append(_onward(boxes[state], boxes[other]))
    width = 2 * MARGIN + len(columns) * BOX_WIDTH + (len(columns) - 1) * GAP_X
    return Diagram(width, deepest + 14 * back + MARGIN, tuple(boxes[state] for state in sorted(boxes)), tuple(steps))


def _columns(definition: Definition) -> list[list[int]]:
    """The states by how many steps they are from a beginning; all in one row where the definition knows no steps."""
    if not definition.transitions:
        return [[state] for state in sorted(definition.states)]
    targets = {other for state, following in definition.transitions.items() for other in following if other != state}
    begin = definition.initial or (definition.states.keys() - targets) or {min(definition.states)}
    columns, seen = [sorted(begin)], set(begin)
    while len(seen) < len(definition.states):
        following = {other for state in columns[-1] for other in definition.transitions.get(state, ())} - seen
        following = following or {min(definition.states.keys() - seen)}
        columns.append(sorted(following))
        seen |= following
    return columns


def _onward(box: Box, other: Box) -> str:
    """A curve from the right side of a box to the left side of one further right."""
    x, y = box.x + BOX_WIDTH, box.y + BOX_HEIGHT // 2
    to_x, to_y = other.x - 4, other.y + BOX_HEIGHT // 2
    bend = (to_x - x) // 2
    if to_x - x > GAP_X and y == to_y:  # past what stands between
        return f"M{box.x + BOX_WIDTH // 2},{box.y} C{box.x + BOX_WIDTH},{box.y - 26} {other.x},{other.y - 26} {other.x + BOX_WIDTH // 2},{other.y - 4}"
    return f"M{x},{y} C{x + bend},{y} {to_x - bend},{to_y} {to_x},{to_y}"


def _back(box: Box, other: Box, low: int) -> str:
    """A line from the foot of a box below all others to the foot of one further left, or in the same column."""
    x, to_x = box.x + BOX_WIDTH // 2 + 10, other.x + BOX_WIDTH // 2 - 10
    return f"M{x},{box.y + BOX_HEIGHT} L{x},{low} L{to_x},{low} L{to_x},{other.y + BOX_HEIGHT + 4}"


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of an inclusion proof: the hash that is at hand, the sibling that the proof gives, on which side it stands."""

    height: int
    ours: str
    sibling: str
    left: bool


def ladder(proof: Mapping[str, Any], hashes: Sequence[bytes]) -> list[Rung]:
    """The steps of a proof from the leaf up; `hashes` are those at hand, the leaf's first, the root last."""
    index, last = proof["index"], proof["size"] - 1
    rungs = []
    for number, sibling in enumerate(proof["proof"]):
        left = bool(index & 1 or index == last)
        rungs.append(Rung(number, hashes[number].hex(), b64decode(sibling).hex(), left))
        if left:
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        index >>= 1
        last >>= 1
    return rungs
