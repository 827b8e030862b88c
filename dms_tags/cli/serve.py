"""`dms-tags serve`."""

from __future__ import annotations

import click

from dms_tags.serving.supervisor import serve
from dms_tags.settings import Settings


@click.command("serve", epilog="It is set up by environment variables: `dms-tags settings` lists them.")
def command() -> int:
    """Run the service, until SIGTERM or Ctrl-C."""
    return serve(Settings.from_environment())
