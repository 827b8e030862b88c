"""`dms-tags settings`."""

from __future__ import annotations

import argparse
import sys

from dms_tags.settings import settings_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Says how settings are given; it has no arguments."""
    parser.epilog = "Each is an environment variable; one that holds a secret may name a file instead, as <NAME>_FILE."


def run(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - every command's signature
    """Prints every setting with its default and its meaning."""
    table = settings_table()
    widths = [max(len(row[column]) for row in table) for column in range(2)]
    for variable, default, meaning in table:
        sys.stdout.write(f"{variable:{widths[0]}}  {default:{widths[1]}}  {meaning}\n")
    return 0
