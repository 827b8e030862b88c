"""What a run found: figures by row and round, their medians, and the targets they are held against."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench_lib.load import Sample


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio or figure to reach: `value` computes it from the report, `least`/`most` bound it."""

    text: str
    value: Callable[[Report], float]
    least: float | None = None
    most: float | None = None
    unit: str = ""

    def verdict(self, value: float) -> str:
        """`met`, or by how much it was missed."""
        if self.least is not None and value < self.least:
            return f"missed (at least {self.least:g}{self.unit})"
        if self.most is not None and value > self.most:
            return f"missed (at most {self.most:g}{self.unit})"
        return "met"


@dataclass(slots=True)
class Report:
    """The samples and other figures of a run, under the names of their rows."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)

    def add(self, row: str, sample: Sample) -> None:
        """Keeps one round's sample, and shows it."""
        self.samples.setdefault(row, []).append(sample)
        trouble = f"  {sample.refused} refused, {sample.broken} broken" if sample.refused or sample.broken else ""
        print(f"  {row:<44}{sample.rate:>9,.0f}/s   p50 {sample.p50:7.1f} ms   p99 {sample.p99:7.1f} ms{trouble}", flush=True)

    def note(self, name: str, value: float) -> None:
        """Keeps one round's figure, and shows it."""
        self.figures.setdefault(name, []).append(value)
        print(f"  {name:<44}{value:>11,.2f}", flush=True)

    def rate(self, row: str) -> float:
        """The median rate of a row, in requests a second."""
        return statistics.median(sample.rate for sample in self.samples[row])

    def p99(self, row: str) -> float:
        """The median p99 of a row, in milliseconds."""
        return statistics.median(sample.p99 for sample in self.samples[row])

    def figure(self, name: str) -> float:
        """The median of a figure over the rounds."""
        return statistics.median(self.figures[name])

    def ratio(self, row: str, other: str) -> float:
        """The median, over the rounds, of one row's rate by the other's in the same round."""
        pairs = zip(self.samples[row], self.samples[other], strict=True)
        return statistics.median(ours.rate / theirs.rate for ours, theirs in pairs)

    def text(self, *, markdown: bool) -> str:
        """The tables: rows, figures, targets."""
        rows: list[tuple[str, ...]] = [
            (row, f"{self.rate(row):,.0f}", f"{statistics.median(s.p50 for s in samples):.1f}", f"{self.p99(row):.1f}")
            for row, samples in self.samples.items()
        ]
        figures: list[tuple[str, ...]] = [(name, f"{self.figure(name):,.2f}") for name in self.figures]
        targets: list[tuple[str, ...]] = [
            (t.text, f"{t.value(self):.2f}{t.unit}", t.verdict(t.value(self))) for t in self.targets
        ]
        tables: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = [
            (("what", "requests/s", "p50 ms", "p99 ms"), rows),
            (("figure", "median"), figures),
            (("to reach", "measured", ""), targets),
        ]
        form = _markdown if markdown else _plain
        return "\n\n".join([machine(), *(form(head, body) for head, body in tables if body)])


def machine() -> str:
    """One line about the machine, without which no figure means anything."""
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    cores = sum(line.startswith("processor") for line in _lines("/proc/cpuinfo"))
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return f"{cores} cores ({model}), {memory / 2**20:.0f} GB, Linux {platform.release()}, Python {platform.python_version()}"


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()


def _markdown(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    rule = "|".join(["---", *("--:" for _ in head[1:])])
    return "\n".join([f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in body)])


def _plain(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in [head, *body]) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *body]
    )
