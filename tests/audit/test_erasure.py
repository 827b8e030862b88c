"""Erasing: the name is nowhere any more, every proof holds, and an order that was cut off is finished by the next."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import encode
from pymongo.collection import Collection

from dms_tags.audit.erasure import Erased, Eraser
from dms_tags.audit.export.exporter import Exporter
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.trail.actors import ActorKeys
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.trail.relay import Relay
from dms_tags.audit.trail.trail import Trail
from dms_tags.audit.verify.database import verify_database
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.report import Report
from dms_tags.errors import NotFound
from dms_tags.model import Action, Actor, Change, Conditions, Idempotency, Kind, Properties, Resource, Terms, Verb
from dms_tags.objects.model import Asked, Manner
from dms_tags.objects.store import ObjectStore
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.app import Service
from tests.support.trails import fill, keyed
from tests.support.workflow import claim, tag

NAME = "mallory.smith"
GONE, OTHER, OPERATOR = Actor(NAME, "token"), Actor("bob", "token"), Actor("root", "cli")


class Bench:
    """A database with a signed trail, in which one of two actors is to be erased."""

    def __init__(self, database: Database, settings: Settings, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.store = TagStore(database)
        self.relay = Relay(database)
        self.checkpointer = Checkpointer.of(database, keyed(settings, folder))

    def change(self, actor: Actor, object_id: str, tenant: str = "default", reason: str | None = None, key: str = "k") -> None:
        of = Resource(tenant, Kind.OBJECT, object_id)
        self.store.change(Change(of, "ocr", Verb.SET, actor, 1, None, Conditions(), Idempotency(key, "f"), reason=reason))

    def settle(self, tenant: str = "default") -> None:
        Trail(self.database).wait_for(tenant, move=self.relay.run_once)

    def eraser(self, **seams: Any) -> Eraser:
        return Eraser(self.database, self.store, self.settle, **seams)

    def export(self, name: str, filters: Filters | None = None, *, proofs: bool = False) -> Path:
        exporter = Exporter(self.checkpointer, self.store, ActorKeys(self.database))
        begun = exporter.begin("default", filters or Filters(), OTHER, form="ndjson", proofs=proofs)
        file = self.folder / name
        file.write_bytes(b"".join(exporter.ndjson(begun)))
        self.settle()
        return file

    def verified(self, file: Path | None = None) -> Report:
        self.checkpointer.checkpoint("default")
        identity = self.checkpointer.identities.current()
        assert identity is not None
        keys = identity.verifiers("default")
        if file is not None:
            return verify_file(file, keys, None, lambda _done, _total: None)
        return verify_database(self.database, "default", keys, None, lambda _done, _total: None)

    def holders(self, text: str = NAME) -> set[str]:
        """The collections that have the text anywhere."""
        inner = self.database.client[self.database.tags.database.name]
        return {name for name in inner.list_collection_names() for each in inner[name].find() if text.encode() in encode(each)}


@pytest.fixture
def bench(database: Database, settings: Settings, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(database, settings, tmp_path)
    for number in range(5):
        bench.change(GONE, f"o{number}", reason="she said so" if number == 3 else None)
        bench.change(OTHER, f"o{number}", key="another")
    bench.settle()
    yield bench
    bench.relay.release()


def test_the_name_is_nowhere_and_everything_holds(bench: Bench) -> None:
    """In no collection and no new export; files from before hold too, with the name; that it was done is in the log, nameless."""
    before = bench.export("before", proofs=True)
    assert {"audit_trail", "actor_keys", "tags"} == bench.holders()
    assert 0 == bench.verified().status

    assert Erased(1, 5, 0, 10) == bench.eraser().erase("default", NAME, None, OPERATOR)

    assert set() == bench.holders()
    after, part = bench.export("after"), bench.export("part", Filters(object_id="o3"), proofs=True)
    assert b"mallory" not in after.read_bytes() + part.read_bytes()
    assert NAME.encode() in before.read_bytes()
    for report, remarks in (
        (bench.verified(), "of 5 entries the actor's name was erased; their commitments hold"),
        (bench.verified(after), "of 5 entries the actor's name was erased; their commitments hold"),
        (bench.verified(part), "of 1 entries the actor's name was erased; their commitments hold"),
    ):
        assert (0, [remarks]) == (report.status, report.remarks)
    assert (0, []) == (bench.verified(before).status, bench.verified(before).remarks)
    (order,) = bench.database.trail.find({"action": Action.ACTOR_ERASED})
    assert ("root", {"actorKind": "token"}) == (order["createdBy"], order["state"])
    erased = {entry["actorCommitment"] for entry in bench.database.trail.find({"erased": ["createdBy"]})}
    assert {order["objectId"]} == {committed.translate(str.maketrans("+/", "-_")).rstrip("=") for committed in erased}


def test_who_comes_back_is_somebody_else(bench: Bench) -> None:
    """The name under a new key has a commitment that says nothing of the old one."""
    bench.eraser().erase("default", NAME, "token", OPERATOR)
    bench.change(GONE, "later")
    bench.settle()

    made = list(bench.database.trail.find({"$or": [{"createdBy": NAME}, {"erased": ["createdBy"]}]}))
    assert 6 == len(made)
    assert 2 == len({entry["actorCommitment"] for entry in made})
    assert Erased(1, 1, 0, 2) == bench.eraser().erase("default", NAME, None, OPERATOR)
    assert set() == bench.holders()


def test_another_tenant_keeps_its_own(bench: Bench) -> None:
    """A name that two tenants have is erased in one of them, and has nothing in common with the other's."""
    bench.change(GONE, "x", tenant="other")
    bench.settle("other")
    bench.eraser().erase("default", NAME, None, OPERATOR)

    (theirs,) = bench.database.trail.find({"tenant": "other"})
    assert NAME == theirs["createdBy"]
    assert 0 == bench.database.trail.count_documents({"tenant": "default", "actorCommitment": theirs["actorCommitment"]})


@pytest.mark.parametrize("step", ["record", "mark", "entries", "answers", "key"])
def test_an_order_that_was_cut_off_is_finished_by_the_next(bench: Bench, step: str) -> None:
    """Wherever it ended: said again it is carried out, and recorded once."""

    def cut(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.eraser(step=cut).erase("default", NAME, None, OPERATOR)
    assert bench.holders()
    bench.settle()
    assert 0 == bench.verified().status
    bench.eraser().erase("default", NAME, None, OPERATOR)

    assert set() == bench.holders()
    assert 1 == bench.database.trail.count_documents({"action": Action.ACTOR_ERASED})
    assert 0 == bench.verified().status


@pytest.mark.parametrize("held_before", ["number", "insert", "clear"])
def test_a_relay_that_was_held_up_brings_no_name_back(bench: Bench, held_before: str) -> None:
    """One that read the outboxes, or the key, before the order and goes on long after it."""
    reached, go_on = threading.Event(), threading.Event()

    def hold(name: str) -> None:
        if name == held_before:
            reached.set()
            go_on.wait(30)

    slow = Relay(bench.database, step=hold)
    bench.relay.release()
    bench.change(GONE, "pending")
    thread = threading.Thread(target=slow.run_once)
    thread.start()
    assert reached.wait(30)
    bench.eraser().erase("default", NAME, None, OPERATOR)
    go_on.set()
    thread.join()
    bench.settle()

    assert set() == bench.holders()
    assert 0 == bench.verified().status


def test_names_that_nobody_ordered_to_erase_are_missed(bench: Bench) -> None:
    """Whoever takes a name out of the database behind the log's back is found out: no order stands in it."""
    bench.database.trail.update_many({"createdBy": NAME}, {"$set": {"createdBy": None, "erased": ["createdBy"]}})
    bench.database.collection("actor_keys").delete_one({"name": NAME})

    report = bench.verified()
    assert 1 == report.status
    assert "the names of 1 actors were taken away, and no order to erase them stands in the log" == str(report.worst)


def test_an_order_that_comes_while_the_trail_is_verified_is_no_finding(bench: Bench) -> None:
    """The verification fixed where the trail ends before it, and meets entries whose name went since."""
    bench.verified()
    identity = bench.checkpointer.identities.current()
    assert identity is not None
    begun: list[int] = []

    def progress(done: int, _total: int) -> None:
        if not begun:
            begun.append(done)
            bench.eraser().erase("default", NAME, None, OPERATOR)

    for number in range(300):
        bench.change(GONE, f"p{number}")
    bench.settle()
    bench.checkpointer.checkpoint("default")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dms_tags.audit.verify.database.AHEAD", 1)
        report = verify_database(bench.database, "default", identity.verifiers("default"), None, progress)

    assert 0 == report.status, report
    assert [name for name in report.remarks if "was erased" in name]


def test_a_reason_is_erased(bench: Bench) -> None:
    """Text and key go, the commitment stays; said again, or of an entry without one, nothing more is recorded."""
    (entry,) = bench.database.trail.find({"reason": {"$ne": None}})
    for _ in range(2):
        bench.eraser().erase_reason("default", entry["position"], OPERATOR)
        bench.settle()

    assert set() == bench.holders("she said so")
    (erased,) = bench.database.trail.find({"_id": entry["_id"]})
    assert (None, ["reason"], entry["reasonCommitment"]) == tuple(
        erased[name] for name in ("reason", "erased", "reasonCommitment")
    )
    assert "reasonKey" not in erased
    assert 1 == bench.database.trail.count_documents({"action": Action.ACTOR_ERASED})
    assert 0 == bench.verified(bench.export("after")).status == bench.verified().status
    with pytest.raises(NotFound, match="has no reason"):
        bench.eraser().erase_reason("default", entry["position"] + 1, OPERATOR)
    bench.eraser().erase("default", NAME, None, OPERATOR)
    assert ["createdBy", "reason"] == bench.database.trail.find_one({"_id": entry["_id"]})["erased"]  # type: ignore[index]


def test_entries_of_schema_1_keep_the_name(database: Database, settings: Settings, tmp_path: Path) -> None:
    """It is in what was signed: the order says of how many."""
    fill(database, 90, earlier=30)
    bench = Bench(database, settings, tmp_path)
    done = bench.eraser().erase("default", "anna", None, OPERATOR)

    assert done.entries + done.keep > 10 < done.keep + 9
    assert {"audit_trail"} == bench.holders("anna")
    assert done.keep == database.trail.count_documents({"createdBy": "anna"})
    assert 0 == bench.verified().status


@pytest.mark.parametrize("name", ["eve", "ad/eve"])
def test_who_has_no_entry_is_erased_too(bench: Bench, name: str) -> None:
    """The name of whom the DMS told as a creator, and of who told of an object or asked for nothing new under a key, is gone."""
    store = ObjectStore(bench.database, bench.store)
    terms = Terms(Actor(name, "jwt"), idempotency=Idempotency("k", "f"))
    for object_id, told in (("o8", Properties(type="letter")), ("o9", Properties(created_by="mallory"))):
        asked = Asked(Resource("default", Kind.OBJECT, object_id), Manner.MAKE, told=told)
        store.change(asked, terms, lambda change: change)
    assert {"tags"} == bench.holders("eve")

    assert Erased(0, 0, 0, 5) == bench.eraser().erase("default", name, None, OPERATOR)
    assert Erased(0, 0, 0, 1) == bench.eraser().erase("default", "mallory", "token", OPERATOR)

    assert set() == bench.holders("eve")
    assert {"audit_trail", "actor_keys", "tags"} == bench.holders()
    assert Erased(0, 0, 0, 0) == bench.eraser().erase("default", name, None, OPERATOR)


def test_an_export_by_name_is_recorded_without_it(bench: Bench) -> None:
    """The trail keeps for ever what was asked for: of a name it keeps the commitments to it."""
    bench.export("asked", Filters(created_by=NAME))

    (entry,) = bench.database.trail.find({"action": Action.TRAIL_EXPORTED})
    (mine, *_) = bench.database.trail.find({"createdBy": NAME})
    assert [mine["actorCommitment"]] == entry["state"]["filters"]["createdBy"]


def test_a_reason_and_its_actor_at_once(bench: Bench) -> None:
    """Each order says beside the other what it took, whichever has read the entry before the other changed it."""
    (entry,) = bench.database.trail.find({"reason": "she said so"})

    def erase_the_actor(step: str) -> None:
        if step == "reason":
            bench.eraser().erase("default", NAME, None, OPERATOR)

    bench.eraser(step=erase_the_actor).erase_reason("default", entry["position"], OPERATOR)
    bench.settle()

    (erased,) = bench.database.trail.find({"_id": entry["_id"]})
    assert (None, None, ["createdBy", "reason"]) == (erased["createdBy"], erased["reason"], erased["erased"])
    assert 0 == bench.verified().status


def test_an_actor_and_its_reason_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other way round: the reason goes once the actor's entries were read, and all of them lose the name all the same."""
    (entry,) = bench.database.trail.find({"reason": "she said so"})
    update_many = Collection.update_many

    def reason_first(tags: Collection[Any], *arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(Collection, "update_many", update_many)
        bench.eraser().erase_reason("default", entry["position"], OPERATOR)
        return update_many(tags, *arguments, **options)

    monkeypatch.setattr(Collection, "update_many", reason_first)
    assert 5 == bench.eraser().erase("default", NAME, None, OPERATOR).entries
    bench.settle()

    (erased,) = bench.database.trail.find({"_id": entry["_id"]})
    assert (None, None, ["createdBy", "reason"]) == (erased["createdBy"], erased["reason"], erased["erased"])
    assert 0 == bench.verified().status


@pytest.mark.parametrize("kept_by", ["now", "earlier"])
def test_what_was_claimed_under_a_key_and_archived_is_forgotten_too(real: Service, kept_by: str) -> None:
    """Digests that the name could be tried against go also where no entry of the claim is in the trail any more."""
    for object_id in ("o1", "o2"):
        tag(real, object_id)
    claim(real, headers={"Idempotency-Key": "k"})
    claim(real, headers={"Idempotency-Key": "another"})
    assert 4 == len(real.entries())
    (archived, _) = claimed = list(real.database.tags.find({"claims": {"$exists": True}}))
    real.database.trail.delete_many({"resource": f"object/{archived['id']}"})
    if kept_by == "earlier":
        long_ago = real.database.now() - timedelta(days=2)
        for document in claimed:
            (kept,) = document["claims"]
            del kept["by"]
            real.database.tags.update_one(
                {"_id": document["_id"]},
                {"$set": {"claims": [kept | ({"creationDate": long_ago} if document is archived else {})]}},
            )

    eraser = Eraser(real.database, real.services.store, real.services.trail.wait_for)
    assert 3 == eraser.erase("default", "anonymous", "none", OPERATOR).entries + 1

    assert [[], []] == [document["claims"] for document in real.database.tags.find({"claims": {"$exists": True}})]


def test_of_what_a_moment_has_only_the_answer_with_the_reason_goes(bench: Bench) -> None:
    """Two tags of an object that were set in one millisecond: the answer that is kept for the other one stays."""
    moment = bench.database.now()
    store = TagStore(bench.database, lambda: moment)
    of = Resource("default", Kind.OBJECT, "twice")
    for name, reason in (("ocr", "she said so again"), ("seen", None)):
        store.change(Change(of, name, Verb.SET, OTHER, 1, idempotency=Idempotency(name, "f"), reason=reason))
    bench.settle()
    (entry,) = bench.database.trail.find({"reason": "she said so again"})

    bench.eraser().erase_reason("default", entry["position"], OPERATOR)

    (document,) = bench.database.tags.find({"id": "twice"})
    assert ["seen"] == [kept["name"] for kept in document["replies"]]
    bench.settle()
