"""Several documents in one change: a transaction, or on mongomock a moment in which nobody else is served (DESIGN.md, "Objects")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, ConnectionFailure, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from dms_tags.errors import StoreUnavailable
from dms_tags.store.database import WRITE_CONCERN, Database, store_unavailable

T = TypeVar("T")

SECONDS: Final = 10.0
"""For so long a transaction may take, its commit included: with a look after it the 15 s of a fail-over are kept."""

_SNAPSHOT: Final = ReadConcern("snapshot")
_CONFLICTS: Final = frozenset({112, 11000})
_NO_TRANSACTIONS: Final = 20


class TransactionLost(Exception):
    """Others were at the same documents: nothing was changed, and the transaction may be tried again."""


def all_or_nothing(database: Database, work: Callable[[ClientSession | None], T]) -> T:
    """What `work` gives, of whose writes in the session that it is given all are kept, or none.

    On mongomock the session is None, and `work` must check all before it writes any.  Raises `TransactionLost`, what `work` raises, and
    `StoreUnavailable`, `uncertain` only where MongoDB did not tell whether it has kept them.
    """
    if database.mock:
        with database.alone():
            return work(None)
    try:
        with database.within(SECONDS), database.client.start_session() as session:
            session.start_transaction(_SNAPSHOT, WRITE_CONCERN, ReadPreference.PRIMARY)
            made = _carried_out(session, work)
            _commit(session)
            return made
    except PyMongoError as error:  # before the first write, or after the last
        raise store_unavailable(error) from error


def _carried_out(session: ClientSession, work: Callable[[ClientSession | None], T]) -> T:
    try:
        return work(session)
    except PyMongoError as error:
        session.abort_transaction()
        if _met_others(error):
            raise TransactionLost from error
        if isinstance(error, OperationFailure) and error.code == _NO_TRANSACTIONS:
            raise StoreUnavailable(
                "this MongoDB is no replica set, and knows no transactions: change the objects one by one; nothing was changed"
            ) from error
        raise StoreUnavailable("MongoDB did not answer in the course of the change; nothing was changed") from error
    except BaseException:
        session.abort_transaction()
        raise


def _commit(session: ClientSession) -> None:
    try:
        session.commit_transaction()
    except PyMongoError as error:
        if _met_others(error):
            raise TransactionLost from error
        raise StoreUnavailable(
            "MongoDB did not confirm in time: whether the change was made is not known; it was made wholly or not at all",
            uncertain=True,
        ) from error


def _met_others(error: PyMongoError) -> bool:
    if isinstance(error, BulkWriteError):
        return any(fault["code"] in _CONFLICTS for fault in error.details["writeErrors"])
    if isinstance(error, ConnectionFailure):
        return False
    return isinstance(error, DuplicateKeyError) or error.has_error_label("TransientTransactionError")
