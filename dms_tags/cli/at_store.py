"""Administration at the store itself: reached as the service reaches it, done in the name of the operating system's account."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dms_tags.audit.log.keys import EMBEDDED_KEY
from dms_tags.model import Actor
from dms_tags.serving.embedded import attached
from dms_tags.settings import Settings
from dms_tags.store.database import SOCKET_MS, Database


def operator() -> Actor:
    """Who runs the command, for the trail: the account of the operating system."""
    try:
        account = getpass.getuser()
    except (OSError, KeyError):
        account = f"uid-{os.getuid()}"
    return Actor(account, "cli")


@contextmanager
def at_store(*, prepared: bool = True, socket_ms: int = SOCKET_MS) -> Iterator[tuple[Settings, Database]]:
    """The settings and the database of the service; its signing key found where the embedded store keeps it.

    `prepared`: the database is brought up to date first.  `socket_ms` is how long one exchange with MongoDB may take.
    Raises `CannotStart` where there is no store.
    """
    given = Settings.from_environment()
    own: dict[str, Any] = {}
    if given.mongo_uri is None and given.signing_key_file is None and (given.data / EMBEDDED_KEY).exists():
        own["signing_key_file"] = given.data / EMBEDDED_KEY
    with attached(given) as settings:
        database = Database.connect(settings, socket_ms=socket_ms)
        try:
            if prepared:
                database.prepare()
            yield replace(settings, **own), database
        finally:
            database.close()
