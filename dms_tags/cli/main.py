"""The command `dms-tags`: one subcommand a module, imported only when it is the one that is asked for.

A module of `COMMANDS` has `configure(parser)`, which adds its arguments to an `argparse` parser, and `run(arguments)`,
which does the work and returns the exit status.  Both may raise `CannotStart`: its line goes to standard error, and
the status is 2; a `TagsError` goes there too, and the status is 1.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final

from dms_tags.errors import CannotStart, TagsError
from dms_tags.version import __version__

COMMANDS: Final = {
    "serve": ("dms_tags.cli.serve", "run the service"),
    "token": ("dms_tags.cli.token", "create, list and revoke API tokens"),
    "tag": ("dms_tags.cli.tag", "read, set, claim and watch tags, as a client of a running service"),
    "chain": ("dms_tags.cli.chain", "keep the chains of the chain tags API"),
    "session": ("dms_tags.cli.session", "create, list and revoke sessions of the chain tags API"),
    "audit": ("dms_tags.cli.audit", "ask, export, prove, verify and archive the audit trail"),
    "settings": ("dms_tags.cli.settings", "list every setting, its default and meaning"),
}

REFUSED: Final = 1
CANNOT_START: Final = 2
INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that `arguments` (default: the process's own) ask for; the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="dms-tags", description="Tags on DMS objects, locked by trace id, every change in a provable audit trail."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if given[:1] == [name]:
            importlib.import_module(module).configure(command)
    commands.add_parser("version", help="print the version")
    chosen = parser.parse_args(given)
    if chosen.command == "version":
        sys.stdout.write(f"{__version__}\n")
        return 0
    try:
        status: int = importlib.import_module(COMMANDS[chosen.command][0]).run(chosen)
    except CannotStart as error:
        sys.stderr.write(f"dms-tags: {error}\n")
        return CANNOT_START
    except TagsError as error:
        sys.stderr.write(f"dms-tags: {error.detail}\n")
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


if __name__ == "__main__":
    sys.exit(main())
