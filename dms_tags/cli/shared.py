"""What commands share on the line: groups that load what is asked for, options, times, how a command ends."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import click

from dms_tags import names
from dms_tags.cli.screen import WANTS_JSON
from dms_tags.errors import InvalidParameter
from dms_tags.identity import names as identity_names

REFUSED: Final = 1
"""The service, or the store, said no."""
FAILED: Final = 2
"""The line was not understood, or somebody could not be reached: nothing is known."""
NOTHING: Final = 3
"""There is nothing of what was asked for."""

TENANT: Final = "dms_tags.tenant"

Command = Callable[..., Any]
"""A command's function, or the command itself: what options are put on."""

F = TypeVar("F", bound=Command)

_day = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_position = re.compile(r"\d{1,18}", re.ASCII).fullmatch


class Ended(Exception):
    """A command that cannot do what it was asked for: the one line that says why, and its exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class Lazy(click.Group):
    """A group whose commands are imported when they are asked for: a client command loads nothing of the service.

    `commands` has for each name the place of the command, `module:attribute`, and its summary.
    """

    def __init__(self, name: str, places: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(name)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._places, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self._places.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place[0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute or "command")
        command.help = command.help or sentence(place[1])
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        own = [(name, command.get_short_help_str()) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*((name, sentence(summary)) for name, (_, summary) in self._places.items()), *own])


class Moment(click.ParamType[datetime]):
    """A point in time: a day, which is its beginning in UTC, or an RFC 3339 time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC) if _day(value) else names.time(value)
        except (ValueError, InvalidParameter):
            self.fail(
                f"{value!r} is no time: 2026-01-31 (its beginning in UTC), 2026-01-31T12:00:00Z or 2026-01-31T12:00:00+01:00",
                param,
                ctx,
            )


class PositionOrMoment(click.ParamType[int | datetime]):
    """A whole number is a position in the trail, anything else a point in time."""

    name = "position|time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | datetime:
        if isinstance(value, int):
            return value
        return int(value) if isinstance(value, str) and _position(value) else Moment().convert(value, param, ctx)


MOMENT: Final = Moment()
POSITION_OR_MOMENT: Final = PositionOrMoment()


def json_option(command: F) -> F:
    """Adds `--json`, which holds wherever it stands in the line."""
    return _remembered(WANTS_JSON, "--json", is_flag=True, help="Print JSON, one document a line.")(command)


def client_options(command: F) -> F:
    """Adds what every client of a service takes: `--json` and `--tenant`, wherever they stand in the line."""
    help_text = "The tenant, where the service needs to be told."
    return json_option(_remembered(TENANT, "--tenant", metavar="NAME", help=help_text)(command))


def reason_option(command: F) -> F:
    """Adds `--reason` to a command that changes something."""
    return click.option("--reason", metavar="TEXT", help="Why, for the audit trail.")(command)


def tenant_option(meaning: str) -> Callable[[F], F]:
    """Adds `--tenant` to a command that goes to the store, where a tenant is not told by a token."""
    return click.option(
        "--tenant", default=identity_names.DEFAULT_TENANT, show_default=True, metavar="NAME", callback=_named_tenant, help=meaning
    )


def any_tenant_option(command: F) -> F:
    """Adds `--tenant` to a command at the store that shows the things of every tenant where none is named."""
    return click.option("--tenant", metavar="NAME", callback=_named_tenant, help="Only those of one tenant.")(command)


def _named_tenant(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    return None if value is None else identity_names.tenant(value)


def tenant() -> str | None:
    """The tenant that `--tenant` names."""
    named: str | None = click.get_current_context().meta.get(TENANT)
    return named


def sentence(summary: str) -> str:
    """The summary as a command's help begins with it."""
    return f"{summary[0].upper()}{summary[1:]}."


def _remembered(key: str, *declarations: str, **more: Any) -> Callable[[F], F]:
    def remember(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            ctx.meta[key] = value

    return click.option(*declarations, expose_value=False, callback=remember, **more)
