"""What the audit commands show: a progress bar on long runs, and the outcome of a verification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from dms_tags.audit.verify import report as outcome
from dms_tags.audit.verify.report import Report
from dms_tags.cli.screen import counted, visible, write


@contextmanager
def bar(what: str) -> Iterator[outcome.Progress]:
    """A progress bar on standard error, if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total or None)

        yield advance


def tell(what: str, report: Report) -> int:
    """Prints the outcome of a verification, the first bad position first; its exit status."""

    def out(line: str) -> None:
        write(visible(line.removesuffix("\n")) + "\n")

    out(f"{what}: {report.verdict}\n")
    worst = report.worst
    if worst is not None:
        out(f"  first bad: {worst}\n")
    for finding in report.findings:
        if finding is not worst:
            out(f"  also: {finding}\n")
    if report.entries:
        out(f"  looked at: {counted(report.entries, 'entry')}, positions {report.first} to {report.last}\n")
    if report.checkpoint is not None:
        out(f"  checkpoint: {report.checkpoint.origin} at {report.checkpoint.size}, root {report.checkpoint.root.hex()}\n")
    for line in report.unknown:
        out(f"  not told: {line}\n")
    for line in report.remarks:
        out(f"  note: {line}\n")
    return report.status
