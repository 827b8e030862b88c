"""`dms-tags settings`."""

from __future__ import annotations

import click

from dms_tags.cli import screen
from dms_tags.cli.shared import json_option
from dms_tags.settings import settings_table

COLUMNS = ("variable", "default", "meaning")


@click.command(
    "settings", epilog="Each is an environment variable; one that holds a secret may name a file instead, as <NAME>_FILE."
)
@json_option
def command() -> None:
    """List every setting, its default and meaning."""
    screen.show([dict(zip(COLUMNS, row, strict=True)) for row in settings_table()], COLUMNS, heading=False)
