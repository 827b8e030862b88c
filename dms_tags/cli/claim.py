"""`dms-tags tag claim`: takes the next object of a queue, and holds it while a command runs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import click

from dms_tags.cli import remote, screen
from dms_tags.cli.rows import TAG_COLUMNS, tag_row
from dms_tags.cli.shared import FAILED, NOTHING, Ended, client_options, reason_option
from dms_tags.client.calls import in_state

PLACE: Final = "{}"
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
KILLED: Final = 128
"""A command that a signal ended gives this status and the signal's number, as in a shell."""
OWN_NOTHING: Final = 100 + NOTHING
"""What a command's own 3 is told as: 3 alone says that there was nothing to claim."""

COLUMNS: Final = ("objectId", "attempts", *TAG_COLUMNS)


class RestIsRun(click.Command):
    """A command whose option `--run` takes the rest of the line, whatever it looks like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--run" in args:
            at = args.index("--run")
            if at + 1 == len(args):
                raise click.UsageError("--run needs a command.", ctx)
            args = [*args[:at], *(f"--run={part}" for part in args[at + 1 :])]
        return super().parse_args(ctx, args)


@click.command(
    "claim",
    cls=RestIsRun,
    context_settings={"ignore_unknown_options": True},
    epilog="Exit status without --run: 0, or 3 where there is nothing to claim.  With --run it is the command's own, but for: "
    f"3 nothing to claim; {OWN_NOTHING} the command itself ended with 3; {KILLED} and the number of a signal that ended it, or that ended "
    "this command, which passes SIGTERM, SIGINT and SIGHUP on, waits for the command and gives the object back.",
)
@click.argument("name")
@click.argument("state", type=int)
@click.option("--from", "waiting", type=int, metavar="N", help="Take one whose tag is in this state.")
@click.option("--query", metavar="STATEMENT", help="Take the first that this statement finds.")
@click.option("--lease", type=int, default=60, show_default=True, metavar="SECONDS", help="How long it is held unless extended.")
@click.option(
    "--on-success", type=int, metavar="N", help="The state when the command ends with 0; else the object is given back."
)
@click.option(
    "--run", multiple=True, metavar="COMMAND…", help=f"The rest of the line is run; {PLACE} stands for the object's id."
)
@reason_option
@client_options
def claim(
    name: str,
    state: int,
    waiting: int | None,
    query: str | None,
    lease: int,
    on_success: int | None,
    run: Sequence[str],
    reason: str | None,
) -> int:
    """Take the next object of a queue; with a command, hold it while the command runs.

    STATE is the state that the claimed tag gets.
    """
    if waiting is not None and query is None:
        statement = in_state(name, waiting)
    elif query is not None and waiting is None:
        statement = query
    else:
        raise click.UsageError(
            "Which objects wait? Give --from N or --query STATEMENT, one of them.", click.get_current_context()
        )
    if not run:
        return _take(name, state, statement, lease, reason)
    if reason is not None:
        raise click.UsageError("--reason goes with a claim alone, not with --run.", click.get_current_context())
    return _work(name, state, statement, lease, on_success, run)


def _take(name: str, state: int, statement: str, lease: int, reason: str | None) -> int:
    with remote.calling() as client:
        taken = client.take(name, state, statement, lease_seconds=lease, reason=reason)
    if not taken:
        return NOTHING
    rows = [{"objectId": claimed.object_id, "attempts": claimed.attempts, **tag_row(claimed.tag)} for claimed in taken]
    screen.show(rows, COLUMNS, tabs=True)
    return 0


def _work(name: str, state: int, statement: str, lease: int, on_success: int | None, run: Sequence[str]) -> int:
    with _passing_on() as child, remote.calling() as client:
        with client.claim(name, state, statement, lease_seconds=lease) as work:
            if work is None:
                return NOTHING
            status = child.run([part.replace(PLACE, work.object_id) for part in run])
            if status == 0 and on_success is not None:
                work.finish(on_success)
        return status


class Interrupted(BaseException):
    """A signal came before there was a command to pass it on to; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Child:
    """The command that is run, and the signals on their way to it."""

    def __init__(self) -> None:
        self._begun = False
        self._process: subprocess.Popen[bytes] | None = None
        self._received: int | None = None

    def receive(self, number: int, _: FrameType | None) -> None:
        """Passes a signal on.  Raises `Interrupted` where the command was not yet begun."""
        self._received = self._received or number
        if not self._begun:
            raise Interrupted(number)
        if self._process is not None:
            self._pass_on(self._process, number)

    def run(self, command: Sequence[str]) -> int:
        """Runs the command to its end; the status to end with, never 0 where a signal came.  Raises `Ended` where it cannot be run."""
        self._begun = True
        try:
            process = subprocess.Popen(command)  # the caller's own command is what this is for
        except OSError as error:
            raise Ended(f"{command[0]} cannot be run: {error.strerror}", FAILED) from error
        self._process = process
        if self._received is not None:  # it came while the command was being started
            self._pass_on(process, self._received)
        code = process.wait()
        if code < 0:
            return KILLED - code
        if self._received is not None:  # what stops early, however politely, has not done its work
            return KILLED + self._received
        return OWN_NOTHING if code == NOTHING else code

    def _pass_on(self, process: subprocess.Popen[bytes], number: int) -> None:
        if number == signal.SIGINT and _in_foreground():
            return  # Ctrl-C: the terminal sends it to both
        process.send_signal(number)


@contextmanager
def _passing_on() -> Iterator[Child]:
    """The signals of `SIGNALS` go to the child, as long as the context lasts; one that came too early ends the command.

    What is ignored stays so: nohup wants a worker to outlive its terminal.
    """
    child = Child()
    heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, child.receive) for number in heeded}
    try:
        yield child
    except Interrupted as interrupted:
        raise click.exceptions.Exit(KILLED + interrupted.number) from interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Whether this command, and so its child, is what the terminal sends Ctrl-C to."""
    try:
        with Path("/dev/tty").open("rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
