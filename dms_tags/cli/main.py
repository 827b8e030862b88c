"""The command `dms-tags`: one module for each of its commands, imported only when it is the one that is asked for.

Exit status: 0 done; 1 refused; 2 the line was not understood, or somebody could not be reached, or the output not be written;
3 there is nothing of what was asked for; 130 interrupted; 141 nobody reads the output any more.  Commands that mean more by
theirs say so in their help.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import click

from dms_tags.cli import screen
from dms_tags.cli.shared import FAILED, REFUSED, Ended, Lazy, json_option
from dms_tags.errors import CannotStart, StoreUnavailable, TagsError
from dms_tags.version import __version__

COMMANDS: Final = {
    "serve": ("dms_tags.cli.serve", "run the service"),
    "token": ("dms_tags.cli.token", "create, list and revoke API tokens"),
    "tag": ("dms_tags.cli.tag", "read, set, find, claim and watch tags, as a client of a running service"),
    "definition": ("dms_tags.cli.definition", "read and write tag definitions, as a client of a running service"),
    "subscription": ("dms_tags.cli.subscription", "have changes sent to receivers, as a client of a running service"),
    "chain": ("dms_tags.cli.chain", "keep the chains of the chain tags API"),
    "session": ("dms_tags.cli.session", "create, list and revoke sessions of the chain tags API"),
    "actor": ("dms_tags.cli.actor", "erase a person from the audit trail, or a reason, with no harm to its proof"),
    "audit": ("dms_tags.cli.audit.group", "ask, export, prove, verify and archive the audit trail"),
    "backup": ("dms_tags.cli.backup", "back up the database while it serves, and verify backups"),
    "restore": ("dms_tags.cli.backup:restore", "restore a backup into an empty database"),
    "settings": ("dms_tags.cli.settings", "list every setting, its default and meaning"),
}

INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

root = Lazy("dms-tags", COMMANDS)
root.help = "Tags on DMS objects, locked by trace id, every change in a provable audit trail."
json_option(root)
click.version_option(__version__, message="%(version)s")(root)


@root.command("version")
def _version() -> None:
    """Print the version."""
    screen.write(f"{__version__}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that `arguments` (default: the process's own) ask for; the exit status."""
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
        screen.finish()
    except BrokenPipeError:
        screen.abandon()
        return BROKEN_PIPE
    except OSError as error:
        screen.abandon()
        what = error.strerror or str(error)
        screen.complain(what if error.filename is None else f"{error.filename}: {what}")
        return FAILED
    return status


def _run(arguments: list[str]) -> int:
    try:
        with root.make_context("dms-tags", arguments) as context:
            status = root.invoke(context)
            return status if isinstance(status, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "dms-tags"
        screen.complain(f"{error.format_message().rstrip('.')}; `{where} --help` explains")
        return error.exit_code
    except click.ClickException as error:
        screen.complain(error.format_message())
        return error.exit_code
    except Ended as ended:
        screen.complain(ended.message)
        return ended.status
    except CannotStart as error:
        screen.complain(str(error))
        return FAILED
    except StoreUnavailable as error:
        screen.complain(f"{error.detail}; is the MongoDB that DMS_TAGS_MONGO_URI, or else DMS_TAGS_DATA, names running?")
        return FAILED
    except TagsError as error:
        screen.complain(error.detail)
        return REFUSED
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
