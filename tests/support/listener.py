"""Listening to what is sent to MongoDB."""

from __future__ import annotations

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandSucceededEvent


class Listener(CommandListener):
    """What hears of commands as they are sent, in `started`, and need not know how they end."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Says nothing more."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Says nothing more."""
