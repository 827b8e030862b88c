"""Which entries of the trail an auditor asks for: the same options for each command that reads them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Final

import click

from dms_tags.cli.shared import MOMENT, POSITION_OR_MOMENT
from dms_tags.names import next_millisecond, spell_time

NAMES: Final = (
    ("object", "objectId", "Changes of this object."),
    ("resource", "resource", "Changes of this resource, site/12."),
    ("within", "within", "Changes of what belongs to this, chain/7."),
    ("name", "name", "Changes of tags called so."),
    ("state", "state", "Changes to this state."),
    ("trace-id", "traceId", "Changes in this trace."),
    ("by", "createdBy", "Changes by this actor."),
)
"""Option, name on the wire, meaning."""


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the filters to a command, which gets them as its argument `filters`, under their names on the wire."""

    @wraps(function)
    def command(
        *,
        action: tuple[int, ...],
        since: datetime | None,
        until: datetime | None,
        after: int | datetime | None,
        before: int | datetime | None,
        **given: Any,
    ) -> Any:
        own = {wire_name: given.pop(f"filter_{number}") for number, (_, wire_name, _) in enumerate(NAMES)}
        filters = {name: value for name, value in own.items() if value is not None}
        if action:
            filters["action"] = list(action)
        filters |= _end("after", after, "from", since)
        filters |= _end("before", before, "to", until)
        return function(filters=filters, **given)

    place = POSITION_OR_MOMENT
    options = [
        click.option(f"--{option}", f"filter_{number}", metavar="TEXT", help=meaning)
        for number, (option, _, meaning) in enumerate(NAMES)
    ]
    options += [
        click.option(
            "--action", type=int, multiple=True, metavar="N", help="Changes of this kind, 110, 210 or 310; may be repeated."
        ),
        click.option("--from", "since", type=MOMENT, help="Recorded then or later: 2026-01-31, or 2026-01-31T12:00:00Z."),
        click.option("--to", "until", type=MOMENT, help="Recorded before then."),
        click.option("--after", type=place, help="Positions above this one; given a time, the same as --from."),
        click.option("--before", type=place, help="Positions below this one; given a time, the same as --to."),
    ]
    for add in reversed(options):
        command = add(command)
    return command


def _end(name: str, place: int | datetime | None, time_name: str, moment: datetime | None) -> dict[str, Any]:
    """One end of the range, by position or by time or both."""
    if isinstance(place, datetime):
        if moment is not None:
            raise click.UsageError(f"--{name} with a time is --{time_name}: give one of them.", click.get_current_context())
        place, moment = None, place
    by_position = {} if place is None else {name: place}
    return by_position if moment is None else by_position | {time_name: spell_time(next_millisecond(moment))}
