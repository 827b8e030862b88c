"""`dms-tags serve`."""

from __future__ import annotations

import argparse

from dms_tags.serving.supervisor import serve
from dms_tags.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Says where its settings come from; it has no arguments."""
    parser.epilog = "It is set up by environment variables: `dms-tags settings` lists them."


def run(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - every command's signature
    """Runs the service until SIGTERM or Ctrl-C."""
    return serve(Settings.from_environment())
