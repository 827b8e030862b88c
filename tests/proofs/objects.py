"""Changes of whole objects that race, and services that die in the middle of one: all of a change or nothing, in the trail as well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from dms_tags.errors import StoreUnavailable, TagNotFound
from dms_tags.model import Actor, Kind, Resource, Terms, Verb
from dms_tags.objects.model import Asked, Manner
from dms_tags.objects.service import ObjectService
from dms_tags.objects.store import ObjectStore
from dms_tags.objects.together import ManyObjects
from dms_tags.objects.types import ObjectTypes
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.definitions import Definitions
from dms_tags.tags.service import TagService
from dms_tags.tags.store import TagStore
from tests.proofs import oracle
from tests.support.app import Service
from tests.support.at_once import at_once
from tests.support.objects import ROOT, patch, properties_of, stands

ACTOR: Final = Actor("proof", "token")
STEPS: Final = ("hold", "write", "commit")


def race_under_one_etag(service: Service, object_id: str, callers: int) -> None:
    """Callers that PATCH three tags of one object under the same `If-Match`: one wins, and never a part of one."""
    patch(service.client, object_id, ["a", 0], ["b", 0], ["c", 0])
    etags = properties_of(service.client.get(f"{ROOT}/{object_id}"))["dms:etags"]
    lock = ", ".join(f'"{etag}"' for etag in etags)

    def call(number: int) -> int:
        rows = [[name, number] for name in ("a", "b", "c")]
        return patch(service.app.test_client(), object_id, *rows, If_Match=lock).status_code

    told = Counter(at_once([partial(call, number) for number in range(1, callers + 1)]))

    assert told == {200: 1, 412: callers - 1}
    left = stands(service.client, object_id)
    assert len(set(left.values())) == 1
    assert set(left.values()) != {0}


def race_for_a_fresh_object(service: Service, object_id: str, callers: int) -> None:
    """Callers that set a tag each on one object that nobody ever tagged, by a statement that names it: all do, up to 50 tags."""
    statement = f"SELECT * FROM document WHERE system:objectId = '{object_id}'"  # noqa: S608 - not SQL
    names = [f"t{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(callers)]

    def call(name: str) -> int:
        path = f"{ROOT}/tags/{name}/state/1"
        answer = service.app.test_client().post(path, query_string={"query": f"{statement} AND system:tags[{name}] IS NULL"})
        assert answer.status_code == 200, answer.text
        return len((answer.json or {})["objects"])

    taken = at_once([partial(call, name) for name in names])

    assert sum(taken) == min(callers, 50)
    assert stands(service.client, object_id).keys() == {name for name, got in zip(names, taken, strict=True) if got}


def objects_of(database: Database, step: Callable[[str], None] = lambda _name: None) -> ObjectService:
    """The service of objects on a database, whose transactions call `step`."""
    store = TagStore(database)
    tags = TagService(store, Definitions(database, store))
    return ObjectService(ObjectStore(database, store), ManyObjects(database, store, step=step), tags, ObjectTypes(database))


def asked(ids: Sequence[str], state: int) -> list[Asked]:
    """All tags of the objects to one state."""
    rows = (("a", state), ("b", state))
    return [Asked(Resource("default", Kind.OBJECT, object_id), Manner.SET, rows) for object_id in ids]


@dataclass(slots=True)
class Writers:
    """Single writers beside transactions: each sets a tag of its own on one object after the other."""

    made: int = 0
    errors: list[str] = field(default_factory=list)


@contextmanager
def single_writers(database: Database, ids: Sequence[str], threads: int) -> Iterator[Writers]:
    """Writers at work while the context lasts."""
    writers, stop = Writers(), threading.Event()
    store = TagStore(database)

    def write(number: int) -> None:
        state = 0
        while not stop.is_set():
            state += 1
            for object_id in ids[number::threads]:
                change = Terms(ACTOR).change(Resource("default", Kind.OBJECT, object_id), f"w{chr(97 + number)}", Verb.SET, state)
                try:
                    store.change(change)
                except (StoreUnavailable, TagNotFound) as error:
                    writers.errors.append(str(error))
                writers.made += 1
                if stop.is_set():
                    return

    working = [threading.Thread(target=write, args=(number,)) for number in range(threads)]
    for thread in working:
        thread.start()
    try:
        yield writers
    finally:
        stop.set()
        for thread in working:
            thread.join()


def change_many_beside_writers(database: Database, *, objects: int, times: int, threads: int) -> tuple[float, Writers]:
    """A transaction of `objects` objects again and again beside single writers; what it took on average, in seconds.

    After each, every object that is read in one snapshot has the same state; at the end the trail has every change once.
    """
    ids = [f"many-{number}" for number in range(objects)]
    service = objects_of(database)
    service.change(asked(ids, 0), Terms(ACTOR))
    watched: list[set[tuple[int, ...]]] = []
    with single_writers(database, ids, threads) as writers, _watching(database, ids, watched):
        began = time.monotonic()
        for state in range(1, times + 1):
            service.change(asked(ids, state), Terms(ACTOR))
        seconds = (time.monotonic() - began) / times
    assert all(len(states) == 1 for states in watched), "a part of a transaction was seen"
    assert writers.errors == []
    assert _states(database, ids) == {(times, times)}
    oracle.wait_until_drained(database)
    entries = oracle.trail_at_rest(database)
    for object_id in ids:
        own = [entry["state"] for entry in entries if entry["objectId"] == object_id and entry["name"] == "a"]
        assert own == list(range(times + 1))
    return seconds, writers


@contextmanager
def _watching(database: Database, ids: Sequence[str], seen: list[set[tuple[int, ...]]]) -> Iterator[None]:
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.append(_states(database, ids))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _states(database: Database, ids: Sequence[str]) -> set[tuple[int, ...]]:
    """The states that the objects' tags have at one moment, told by one snapshot."""
    keys = [Resource("default", Kind.OBJECT, object_id).key for object_id in ids]
    with database.client.start_session(snapshot=True) as session:
        documents = list(database.tags.find({"_id": {"$in": keys}}, {"tags": 1}, session=session))
    return {tuple(row["state"] for row in document["tags"] if row["name"] in ("a", "b")) for document in documents}


def die_in_the_middle(settings: Settings, database: Database, *, objects: int, step: str) -> float:
    """A service killed before `step` of a transaction: nothing of it is kept.  Seconds until a single change is made again."""
    ids = [f"dying-{step}-{number}" for number in range(objects)]
    service = objects_of(database)
    service.change(asked(ids, 1), Terms(ACTOR))

    arguments = [sys.executable, "-m", __name__, settings.mongo_uri or "", settings.database, step, *ids]
    killed = subprocess.run(arguments, check=False, timeout=60)

    assert killed.returncode == -signal.SIGKILL
    assert _states(database, ids) == {(1, 1)}
    began = time.monotonic()
    service.change(asked(ids[-1:], 2), Terms(ACTOR))
    seconds = time.monotonic() - began
    service.change(asked(ids, 3), Terms(ACTOR))
    assert _states(database, ids) == {(3, 3)}
    return seconds


def main() -> None:
    """Changes objects in one transaction, and dies by SIGKILL before a step of it."""
    uri, name, doomed, *ids = sys.argv[1:]

    def step(reached: str) -> None:
        if reached == doomed:
            os.kill(os.getpid(), signal.SIGKILL)

    database = Database.connect(Settings(mongo_uri=uri, database=name))
    objects_of(database, step).change(asked(ids, 2), Terms(ACTOR))
    raise SystemExit(f"the transaction has no step {doomed!r}")


if __name__ == "__main__":
    main()
