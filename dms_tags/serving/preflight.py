"""What is looked at before anything listens: settings that can never work end the start, in one line that says which.

A MongoDB that does not answer is no such thing: it may be just starting, and the service goes on by itself when it does.
"""

from __future__ import annotations

from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

from dms_tags import tracing
from dms_tags.audit.log.keys import key_of
from dms_tags.errors import CannotStart
from dms_tags.model import now
from dms_tags.settings import Settings
from dms_tags.store.database import refuse_newer

PATIENCE_MS: Final = 1_500
"""How long MongoDB is waited for here."""

REFUSALS: Final = frozenset({13, 18})
"""MongoDB's codes for what credentials do not open: Unauthorized, AuthenticationFailed."""


def check(settings: Settings) -> None:
    """Raises `CannotStart` for settings with which the service would never do its work."""
    if settings.authentication == "jwt":
        from dms_tags.identity.jwt import JwtVerifier  # costs memory that only this needs

        JwtVerifier.from_settings(settings, now)
    if settings.tracing:
        tracing.require_packages()
    key_of(settings)
    if settings.witness_file is not None and not settings.witness_file.absolute().parent.is_dir():
        raise CannotStart(f"DMS_TAGS_WITNESS_FILE={settings.witness_file}: there is no such folder")
    if settings.mongo_uri is not None and not settings.in_memory:
        _check_mongodb(settings.mongo_uri, settings.database)


def refused(error: BaseException | None) -> bool:
    """Whether what the driver raised says that MongoDB refuses the credentials, which no waiting mends."""
    return isinstance(error, OperationFailure) and error.code in REFUSALS


def _check_mongodb(uri: str, database: str) -> None:
    try:
        with MongoClient[dict[str, Any]](
            uri, serverSelectionTimeoutMS=PATIENCE_MS, connectTimeoutMS=PATIENCE_MS, appname="dms-tags"
        ) as client:
            refuse_newer(client[database]["schema"].find_one({"_id": "version"}))
            hello = client.admin.command("hello")
    except OperationFailure as error:
        if refused(error):
            raise CannotStart(
                f"MongoDB refuses the name or password in DMS_TAGS_MONGO_URI, or they do not open the database {database}"
            ) from error
        return
    except (ConfigurationError, ValueError) as error:
        raise CannotStart(
            f"DMS_TAGS_MONGO_URI: {error} (in its name and password any of : / ? # [ ] @ % is percent-encoded)"
        ) from error
    except PyMongoError:
        return
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise CannotStart(
            "the MongoDB of DMS_TAGS_MONGO_URI runs alone, outside any replica set, and would confirm changes that a crash "
            "can undo: start mongod with --replSet and run rs.initiate() once; a set of one is enough"
        )
