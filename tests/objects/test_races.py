"""Changes of whole objects that race, on a real MongoDB: samples of `scripts/prove --only objects`."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch as replaced

import pytest
from pymongo.client_session import ClientSession
from pymongo.errors import AutoReconnect, PyMongoError

from dms_tags.errors import StoreUnavailable
from dms_tags.model import Kind, Resource, Terms
from dms_tags.serving.mongod import TRANSACTION_SECONDS, Client
from dms_tags.settings import Settings
from tests.proofs import objects, oracle
from tests.support.app import Service
from tests.support.objects import stands


def test_one_of_64_wins_under_one_etag(real: Service) -> None:
    """64 PATCHes of three tags under one If-Match: one is made, and never a part of one."""
    for number in range(3):
        objects.race_under_one_etag(real, f"o{number}", 64)
    assert 3 * 6 == len(real.entries())


def test_64_tags_on_a_fresh_object(real: Service) -> None:
    """64 callers that set a tag each on an object that nobody ever tagged: as many as it may carry, each told right."""
    objects.race_for_a_fresh_object(real, "fresh", 64)
    assert 50 == len(real.entries())


def test_many_beside_single_writers(real: Service) -> None:
    """A transaction of 100 objects beside those who change the same ones: all or nothing, and a trail without a gap."""
    objects.change_many_beside_writers(real.database, objects=100, times=5, threads=4)


@pytest.fixture
def impatient(mongo_client: Client) -> Iterator[None]:
    """A mongod that ends a transaction of a service that died after a second."""
    mongo_client.admin.command({"setParameter": 1, "transactionLifetimeLimitSeconds": 1})
    yield
    mongo_client.admin.command({"setParameter": 1, "transactionLifetimeLimitSeconds": TRANSACTION_SECONDS})


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("step", ["write", "commit"])
def test_a_kill_in_the_middle(settings: Settings, real: Service, step: str) -> None:
    """Of a transaction whose service is killed nothing is kept, and the objects can be changed again soon."""
    seconds = objects.die_in_the_middle(settings, real.database, objects=20, step=step)

    assert seconds < 8
    oracle.wait_until_drained(real.database)
    oracle.trail_at_rest(real.database)


def test_a_lost_reply_to_a_commit(real: Service) -> None:
    """Where the reply to a commit is lost, the change ids tell that it was made; where it was not, that it is not known."""
    service = objects.objects_of(real.database)
    service.change(objects.asked(["o1", "o2"], 0), Terms(objects.ACTOR))
    commit = ClientSession.commit_transaction

    def lost_after(session: ClientSession) -> None:
        commit(session)
        raise AutoReconnect("lost after it")

    def lost_before(session: ClientSession) -> None:
        session.abort_transaction()
        raise AutoReconnect("lost before it")

    with replaced.object(ClientSession, "commit_transaction", lost_after):
        made = service.change(objects.asked(["o1", "o2"], 1), Terms(objects.ACTOR))
    with (
        replaced.object(ClientSession, "commit_transaction", lost_before),
        pytest.raises(StoreUnavailable) as unknown,
    ):
        service.change(objects.asked(["o1", "o2"], 2), Terms(objects.ACTOR))

    assert [{1}, {1}] == [{tag.state for tag in each.tags} for each in made]
    assert unknown.value.uncertain
    assert {"a": 1, "b": 1} == stands(real.client, "o1") == stands(real.client, "o2")
    assert 8 == len(real.entries())


def test_mongodb_that_goes_in_the_middle(real: Service) -> None:
    """Where MongoDB is lost before the commit the caller is told that nothing was changed."""

    def lost(name: str) -> None:
        if name == "commit":
            raise PyMongoError("gone")

    service = objects.objects_of(real.database, lost)

    with pytest.raises(StoreUnavailable, match="nothing was changed") as told:
        service.change(objects.asked(["o1", "o2"], 1), Terms(objects.ACTOR))

    assert not told.value.uncertain
    assert real.database.tags.find_one({"_id": Resource("default", Kind.OBJECT, "o1").key}) is None
