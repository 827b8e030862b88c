"""`scripts/prove`: the proofs at full size, one after the other, with a line for each step."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

from dms_tags.chains.chains import Chains
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.objects import agreement
from tests.proofs import (
    archivers,
    calls,
    clocks,
    console,
    delays,
    described,
    drill,
    groups,
    objects,
    oracle,
    races,
    repeats,
    rolling,
    seals,
)
from tests.proofs.crashes import crash_again_and_again
from tests.proofs.deliveries import deliver_through_crashes
from tests.proofs.failover import fail_over_again_and_again
from tests.proofs.forgeries import forge_databases, forge_files
from tests.proofs.frozen import successor_keeps_its_lease
from tests.proofs.ledger import Ledger
from tests.proofs.relays import prepared, relays_beside_writers
from tests.proofs.services import fleet
from tests.proofs.soak import soak
from tests.proofs.statements import ask
from tests.proofs.verdicts import agree
from tests.proofs.workers import work_through_crashes
from tests.support.app import running
from tests.support.chains import ADMIN, FOO
from tests.support.mongo import replica_set
from tests.support.service import service
from tests.support.trails import fill, keyed

FLAT = {"memory": 4.0, "open": 1.0, "lag,": 0.1}
"""What counts as no growth, an hour: MB, files, seconds; a slope that is surely above is a leak."""


def main() -> None:
    """Runs the proofs that were asked for; the first one that fails ends the program with its reason."""
    parser = argparse.ArgumentParser(prog="scripts/prove", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PROOFS, default=list(PROOFS), metavar="PROOF", help=", ".join(PROOFS))
    for name in parser.parse_args().only:
        began = time.monotonic()
        print(f"{name}: {PROOFS[name].__doc__}", flush=True)
        with tempfile.TemporaryDirectory(prefix="dms-tags-prove-") as folder:
            PROOFS[name](Path(folder))
        print(f"{name}: holds, {time.monotonic() - began:.0f} s", flush=True)


def prove_races(folder: Path) -> None:
    """64 callers, two services: 200 rounds for a revision, then the same tag, then the last ten places of an object."""
    with _store(folder) as (settings, database), fleet(folder, settings.mongo_uri or "", settings.database) as services:
        ports = [service.port for service in services]
        ledger = Ledger()
        races.race_for_a_revision(ports, ledger, rounds=200)
        for _ in range(20):
            races.race_to_add_one_tag(ports, ledger)
            races.race_to_fill_an_object(ports, ledger)
        ledger.settle(database)
        _tell(f"{len(ledger.made)} changes made, {len(ledger.refused)} refused")


def prove_relays(folder: Path) -> None:
    """Eight writers, four relays that die at random, a MongoDB that loses replies at random, for two minutes."""
    with _store(folder) as (settings, _):
        calm = replace(settings, database="calm")
        with prepared(calm):
            undisturbed = len(relays_beside_writers(calm, seconds=30, death=0, fault=0)) / 30
        lags = relays_beside_writers(settings, seconds=120)
        p99 = lags[len(lags) * 99 // 100]
        rate = len(lags) / 120
        _tell(f"{rate:.0f} changes/s, undisturbed {undisturbed:.0f}; relay lag p99 {p99:.2f} s, most {lags[-1]:.2f} s")
        assert p99 < 1
        assert rate > undisturbed / 3, "the rate collapsed"


def prove_crashes(folder: Path) -> None:
    """200 times SIGKILL under load: of a service, of one of its processes, of mongod, in turn."""
    crash_again_and_again(folder, cycles=200, tell=_tell)


def prove_failover(folder: Path) -> None:
    """The primary of a set of three killed 30 times under load."""
    fail_over_again_and_again(folder, times=30, tell=_tell)


def prove_workers(folder: Path) -> None:
    """64 workers in eight processes, two services, 20,000 objects: 30 times SIGKILL, or SIGSTOP until the leases are over."""
    with _store(folder) as (settings, database):
        work_through_crashes(
            folder,
            settings,
            database,
            objects=20_000,
            gangs=8,
            workers=8,
            disturbances=30,
            lease_seconds=5,
            pace=0.02,
            tell=_tell,
        )


def prove_statements(folder: Path) -> None:
    """10,000 statements made up at random, about 5,000 objects: each is answered or refused with its reason, within 5 s."""
    with _store(folder) as (settings, _), fleet(folder, settings.mongo_uri or "", settings.database) as services:
        asked = ask([service.port for service in services], statements=10_000, objects=5_000)
        p99 = asked.seconds[len(asked.seconds) * 99 // 100]
        _tell(f"{dict(asked.statuses)} by status; p99 {p99 * 1000:.0f} ms, longest {asked.seconds[-1]:.2f} s")


def prove_events(folder: Path) -> None:
    """16 writers that write all they can for 20 s, two services, a listener at each: every event once, 99 of 100 within 1 s."""
    with _store(folder) as (settings, _), fleet(folder, settings.mongo_uri or "", settings.database) as services:
        heard = delays.measure([service.port for service in services], seconds=20)
        p50, p99 = heard.part(0.5), heard.part(0.99)
        _tell(f"{heard.rate:.0f} changes/s; event delay p50 {p50:.2f} s, p99 {p99:.2f} s, most {heard.seconds[-1]:.2f} s")
        assert p99 < 1


def prove_repeats(folder: Path) -> None:
    """Requests sent again while both secondaries stand still; 64 keyed claims, each sent to two services at the same moment."""
    with replica_set(folder / "three", members=3, election_ms=10_000) as nodes:
        repeats.repeat_before_a_majority_has_it(nodes)
    with _store(folder) as (settings, _), fleet(folder, settings.mongo_uri or "", settings.database) as services:
        statuses = repeats.claim_twice_at_once([service.port for service in services], keys=64)
        _tell(f"64 keys, 64 objects; {dict(statuses)} by status")


def prove_groups(folder: Path) -> None:
    """32 callers of one process: 200 rounds in which replies are lost in the middle of groups, 40 in which the primary goes."""
    with _store(folder) as (settings, _):
        _tell_of("lost replies", groups.lose_replies(settings, rounds=200))
    with replica_set(folder / "three", members=3) as nodes:
        _tell_of("fail-overs", groups.fail_over_in_the_middle(nodes, rounds=40))


def prove_objects(folder: Path) -> None:
    """64 callers under one If-Match, and on one fresh object; 100 objects at once beside eight writers; 30 times SIGKILL in the middle."""
    with _store(folder) as (settings, database), running(replace(settings, auth="none")) as service:
        for number in range(50):
            objects.race_under_one_etag(service, f"raced-{number}", 64)
        for number in range(10):
            objects.race_for_a_fresh_object(service, f"fresh-{number}", 64)
        seconds, writers = objects.change_many_beside_writers(database, objects=100, times=200, threads=8)
        _tell(f"100 objects in {seconds * 1000:.0f} ms, {writers.made} single changes beside them")
        database.client.admin.command({"setParameter": 1, "transactionLifetimeLimitSeconds": 1})
        for number in range(30):
            step = objects.STEPS[number % len(objects.STEPS)]
            waited = objects.die_in_the_middle(settings, database, objects=100, step=step)
            _tell(f"killed before {step!r}: nothing kept, changed again after {waited:.1f} s")
        oracle.wait_until_drained(database)
        oracle.trail_at_rest(database)
        agreement.agree_at_random(service, examples=300, most=30)


def _tell_of(what: str, callers: groups.Callers) -> None:
    watched = callers.watched
    _tell(f"{what}: {watched.groups} groups, {watched.unconfirmed} of them not confirmed; callers were told {dict(callers.told)}")


def prove_archivers(folder: Path) -> None:
    """Two orders to archive one trail, one of them halted before each of its steps, the other at once or when it seems dead."""
    with replica_set(folder / "mongod") as running:
        for number, (step, later, patient) in enumerate(product(archivers.STEPS, (300, 900), (True, False))):
            settings = Settings(mongo_uri=running.uri, database=f"proofs{number}")
            with prepared(settings) as database:
                fill(database, 1000)
                archive = folder / str(number)
                archive.mkdir()
                archivers.two_orders(keyed(settings, archive), database, archive, step, later=later, patient=patient)
        _tell(f"{number + 1} pairs of orders")


def prove_clocks(folder: Path) -> None:
    """Five times three keepers with clocks 150 s apart, the fast one killed while it moves changes: the trail goes on."""
    for round_ in range(5):
        with _store(folder / str(round_)) as (settings, database):
            _tell(f"the trail went on after {clocks.outlive_the_fast_one(settings, database):.2f} s")


def prove_calls(folder: Path) -> None:
    """200,000 calls made up at random, over all routes of two services: none fails, and the trail agrees with the tags."""
    with _store(folder) as (settings, database), fleet(folder, settings.mongo_uri or "", settings.database) as services:
        told = calls.at_random(settings, database, [service.port for service in services], calls=200_000)
        by_status = Counter(status for _, status in told.statuses.elements())
        _tell(f"{dict(sorted(by_status.items()))} by status; {len(oracle.trail_at_rest(database))} entries")


def prove_rolling(folder: Path) -> None:
    """Two services stopped and started 20 times in turn under load, without a proxy and behind nginx: no call, no event is lost."""
    with _store(folder) as (settings, _), fleet(folder, settings.mongo_uri or "", settings.database) as services:
        _tell(f"without a proxy: {rolling.restart_in_turn(services, [each.port for each in services], restarts=20)} changes")
        with rolling.behind_nginx(folder / "nginx", services) as port:
            _tell(f"behind nginx: {rolling.restart_in_turn(services, [port], restarts=20)} changes")


def prove_soak(folder: Path) -> None:
    """Half an hour under a load of all sorts: memory, open files and the relay's lag stay what they are."""
    with _store(folder) as (settings, database):
        known = {"DMS_TAGS_MONGO_URI": settings.mongo_uri or "", "DMS_TAGS_DATABASE": settings.database}
        with service(folder / "service", known, DMS_TAGS_WORKERS="2") as running:
            seen = soak(running, int(running.url.rpartition(":")[2]), seconds=1800, every=10)
        slopes = seen.slopes()
        for name, slope in slopes.items():
            values = seen.values[name]
            on_the_way = " ".join(f"{values[(len(values) - 1) * tenth // 10]:.1f}" for tenth in range(11))
            _tell(f"{name}: {on_the_way}; {slope}")
        _tell(f"{seen.changes} changes, {len(oracle.trail_at_rest(database))} entries")
        grew = [name for name, slope in slopes.items() if slope.hourly - 2 * slope.error > FLAT[name.split()[0]]]
        assert not grew, grew


def prove_described(folder: Path) -> None:
    """Schemathesis with three seeds over all calls, examples, edges, made-up calls and sequences: all as the document says."""
    with _store(folder) as (settings, database):
        Chains(database, TagStore(database)).add("default", FOO, ADMIN)
        for seed in (1, 2, 3):
            _tell(described.hold_to_the_document(folder / str(seed), settings, database, seed=seed, examples=50))


def prove_frozen(folder: Path) -> None:
    """A worker frozen until another holds its object under the same trace id: it neither extends nor ends that lease."""
    with _store(folder) as (settings, _), fleet(folder, settings.mongo_uri or "", settings.database) as services:
        successor_keeps_its_lease(services[0].port)


def prove_forgeries(folder: Path) -> None:
    """5,000 forged files and 2,000 forged databases, by kind: each is found out, at the right position; honest ones hold."""
    for forge, count in ((forge_files, 5_000), (forge_databases, 2_000)):
        place = folder / forge.__name__  # each has a key and a log of its own
        place.mkdir()
        tallies = forge(place, count)
        for kind, tally in sorted(tallies.items()):
            _tell(f"{kind}: {tally}")
        missed = [f"{kind} {line}" for kind, tally in tallies.items() for line in tally.missed]
        assert not missed, missed[:3]


def prove_seals(folder: Path) -> None:
    """10,000 signed exports of one object, with entries left out or another seal: each is found out; 1,000,000 resources sealed in 30 s."""
    for kind, tally in sorted(seals.forge(folder, 10_000).items()):
        _tell(f"{kind}: {tally}")
        assert not tally.missed, tally.missed[:3]
    own = folder / "size"  # has a key and a log of its own
    own.mkdir()
    with _store(own) as (settings, database):
        seals.fill(database, 1_000_000, 1_000_000)
        measured = seals.at_size(database, keyed(settings, own))
    _tell(
        f"1,000,000 resources: sealed in {measured.seal:.0f} s, one object exported in {measured.export:.0f} s, "
        f"at most {measured.memory:.0f} MB"
    )
    assert measured.seal < 30


def prove_subscriptions(folder: Path) -> None:
    """30 times SIGKILL under load, of couriers, mongod, whole services, in turn: three receivers, one in trouble, get every event in order."""
    with replica_set(folder / "mongod") as mongod:
        settings = Settings(mongo_uri=mongod.uri, database="proofs")
        with prepared(settings) as database:
            proof = deliver_through_crashes(folder, mongod, database, rounds=30, whole=True, tell=_tell)
    _tell(f"{proof.events} events; {proof.repeated} came again after a crash, {proof.refused} after a refusal or a lost answer")


def prove_backup(folder: Path) -> None:
    """A restore drill under load: 16 callers, backups, all killed, restored; then a million entries within two minutes."""
    drilled = drill.drill(folder / "drill", seconds=5, callers=16)
    _tell(f"{drilled.entries} entries restored; {drilled.lost} changes that were made after the last backup are gone")
    sized = drill.restore_at_size(folder / "size", count=1_000_000, objects=100_000)
    _tell(
        f"1,000,000 entries on 100,000 objects: backup {sized.backup:.0f} s, verify {sized.verify:.0f} s, "
        f"restore {sized.restore:.0f} s with at most {sized.memory:.0f} MB"
    )
    assert sized.restore < drill.LIMIT_SECONDS


def prove_console(folder: Path) -> None:
    """A trail of 1,000,000 entries: trail and objects are painted in under a second by a browser that knows nothing of them."""
    with _store(folder) as (settings, database):
        console.fill(database, 1_000_000)
        paints = console.first_paints(folder / "service", settings, 1_000_000, times=5)
    for page, seconds in paints.items():
        _tell(f"{page}: first paint after {sorted(seconds)[len(seconds) // 2]:.2f} s, longest {max(seconds):.2f} s")
    assert {} == {page: seconds for page, seconds in paints.items() if page.startswith(("Trail", "Object")) and max(seconds) >= 1}


def prove_verdicts(folder: Path) -> None:
    """1,000 forged files held to the console's verifier and to `audit verify`: one verdict, one first bad position."""
    _tell(agree(folder, 1_000))


PROOFS: dict[str, Callable[[Path], None]] = {
    "races": prove_races,
    "relays": prove_relays,
    "crashes": prove_crashes,
    "failover": prove_failover,
    "workers": prove_workers,
    "statements": prove_statements,
    "events": prove_events,
    "repeats": prove_repeats,
    "groups": prove_groups,
    "archivers": prove_archivers,
    "clocks": prove_clocks,
    "calls": prove_calls,
    "described": prove_described,
    "rolling": prove_rolling,
    "soak": prove_soak,
    "frozen": prove_frozen,
    "forgeries": prove_forgeries,
    "seals": prove_seals,
    "subscriptions": prove_subscriptions,
    "backup": prove_backup,
    "objects": prove_objects,
    "verdicts": prove_verdicts,
    "console": prove_console,
}


@contextmanager
def _store(folder: Path) -> Iterator[tuple[Settings, Database]]:
    with replica_set(folder / "mongod") as running:
        settings = Settings(mongo_uri=running.uri, database="proofs")
        with prepared(settings) as database:
            yield settings, database


def _tell(line: str) -> None:
    print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
