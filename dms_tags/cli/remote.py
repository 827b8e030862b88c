"""Commands that are clients of a running service: how they reach it, and what is said when that fails."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import httpx

from dms_tags.cli import screen
from dms_tags.cli.shared import FAILED, REFUSED, Ended, tenant
from dms_tags.client.blocking import DmsTags
from dms_tags.client.connection import Connection
from dms_tags.client.errors import DmsTagsError, Problem, Unauthenticated, Unreachable

SECONDS: Final = 60.0
SILENT_SECONDS: Final = 1.0
"""For so long a command that tries again says nothing."""


def connect(tenant_name: str | None) -> DmsTags:
    """A client of the service of the environment.  Raises ValueError for an address that is none."""
    return DmsTags(tenant=tenant_name, sleep=patiently())


def patiently(
    sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
) -> Callable[[float], None]:
    """How a command waits between attempts: it says once that it does, so that nobody takes it for stuck.

    What lasted for longer than `SECONDS` since the last wait was no attempt that failed: the next one begins anew.
    """
    waited, told, last = 0.0, False, clock()

    def wait(seconds: float) -> None:
        nonlocal waited, told, last
        if clock() - last > SECONDS:
            waited, told = 0.0, False
        waited, last = waited + seconds, clock() + seconds
        if waited > SILENT_SECONDS and not told:
            told = True
            screen.complain(f"no answer from {Connection.to(None, None, None).url} yet; trying again (Ctrl-C ends this)")
        sleep(seconds)

    return wait


@contextmanager
def calling() -> Iterator[DmsTags]:
    """The client, for as long as the context lasts; what it raises ends the command, refusals with 1, anything else with 2."""
    try:
        with connect(tenant()) as client:
            yield client
    except Unauthenticated as problem:
        raise Ended(f"{problem.detail}; {token_hint()}", REFUSED) from problem
    except Problem as problem:
        raise Ended(f"{problem.detail}{path_hint() if problem.status == httpx.codes.NOT_FOUND else ''}", REFUSED) from problem
    except Unreachable as error:
        raise Ended(f"{error}; {address_hint()}", FAILED) from error
    except (DmsTagsError, ValueError) as error:
        raise Ended(str(error), FAILED) from error


@contextmanager
def http_client() -> Iterator[httpx.Client]:
    """httpx's own client of the same service, for calls that read more than an answer.  Raises ValueError as `connect` does."""
    with httpx.Client(**Connection.to(None, None, tenant()).http, timeout=SECONDS) as client:
        yield client


def address_hint() -> str:
    """Where the service was looked for, and how to say where it is."""
    url = Connection.to(None, None, None).url
    return f"is the service at {url} running? DMS_TAGS_URL says where it is"


def path_hint() -> str:
    """What may be wrong with an address that has a path, where nothing is found."""
    url = Connection.to(None, None, None).url
    below = httpx.URL(url).path.strip("/")
    return f"; DMS_TAGS_URL={url} is to be the service's address alone, without the path of a call" if below else ""


def proxy_hint() -> str:
    """Which proxy stood between, if one did."""
    proxy = Connection.to(None, None, None).proxy
    return "" if proxy is None else f"; it was asked through the proxy {proxy} (HTTP_PROXY, NO_PROXY)"


def token_hint() -> str:
    """How to say who asks."""
    if os.environ.get("DMS_TAGS_TOKEN") or os.environ.get("DMS_TAGS_TOKEN_FILE"):
        return "the token in DMS_TAGS_TOKEN is not, or no longer, one that this service knows"
    return "set DMS_TAGS_TOKEN to a token, which `dms-tags token create` makes"
