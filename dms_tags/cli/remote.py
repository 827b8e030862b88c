"""Commands that are clients of a running service: how they reach it, and what is said when that fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from dms_tags.cli.shared import FAILED, REFUSED, Ended, tenant
from dms_tags.client.blocking import DmsTags
from dms_tags.client.connection import Connection
from dms_tags.client.errors import DmsTagsError, Problem, Unauthenticated, Unreachable

SECONDS = 60.0


def connect(tenant_name: str | None) -> DmsTags:
    """A client of the service of the environment.  Raises ValueError for an address that is none."""
    return DmsTags(tenant=tenant_name)


@contextmanager
def calling() -> Iterator[DmsTags]:
    """The client, for as long as the context lasts; what it raises ends the command, refusals with 1, anything else with 2."""
    try:
        with connect(tenant()) as client:
            yield client
    except Unauthenticated as problem:
        raise Ended(f"{problem.detail}; {token_hint()}", REFUSED) from problem
    except Problem as problem:
        raise Ended(problem.detail, REFUSED) from problem
    except Unreachable as error:
        raise Ended(f"{error}; {address_hint()}", FAILED) from error
    except (DmsTagsError, ValueError) as error:
        raise Ended(str(error), FAILED) from error


@contextmanager
def http_client() -> Iterator[httpx.Client]:
    """httpx's own client of the same service, for calls that read more than an answer.  Raises ValueError as `connect` does."""
    connection = Connection.to(None, None, tenant())
    with httpx.Client(base_url=connection.url, headers=connection.headers, timeout=SECONDS) as client:
        yield client


def address_hint() -> str:
    """Where the service was looked for, and how to say where it is."""
    url = Connection.to(None, None, None).url
    return f"is the service at {url} running? DMS_TAGS_URL says where it is"


def token_hint() -> str:
    """How to say who asks."""
    if os.environ.get("DMS_TAGS_TOKEN") or os.environ.get("DMS_TAGS_TOKEN_FILE"):
        return "the token in DMS_TAGS_TOKEN is not, or no longer, one that this service knows"
    return "set DMS_TAGS_TOKEN to a token, which `dms-tags token create` makes"
