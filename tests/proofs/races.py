"""Callers that race for one tag or one object, on two service processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dms_tags.model import new_trace_id
from tests.proofs.caller import Answer, once
from tests.proofs.ledger import Ledger

T = TypeVar("T")


def race_for_a_revision(ports: Sequence[int], ledger: Ledger, *, rounds: int, callers: int = 64) -> None:
    """In every round all callers update one tag under the same `If-Match`: one wins, and nothing of it is lost."""
    path = f"/api/dms/objects/race-{new_trace_id()}/tags/ocr"
    etag = _add(ports[0], path, ledger)
    for number in range(1, rounds + 1):
        states = range(number * 1000, number * 1000 + callers)
        answers = _at_once(
            [
                _update(port, f"{path}/state/{state}?overwrite=true", etag, ledger)
                for port, state in zip(_deal(ports, callers), states, strict=True)
            ]
        )
        statuses = sorted(answer.status for answer in answers)
        assert statuses == [200] + [412] * (callers - 1), f"round {number}"
        [winner] = [answer for answer in answers if answer.status == 200]
        standing = once(ports[-1], "GET", path)
        assert (standing.etag, standing.json) == (winner.etag, winner.json), f"round {number}"
        etag = winner.etag


def race_to_add_one_tag(ports: Sequence[int], ledger: Ledger, *, callers: int = 64) -> None:
    """All callers add the same tag to an object that has none: one is told 200, the others 409."""
    path = f"/api/dms/objects/add-{new_trace_id()}/tags/ocr/state/1"
    answers = _at_once([_change(port, path, {}, ledger) for port in _deal(ports, callers)])

    assert sorted(answer.status for answer in answers) == [200] + [409] * (callers - 1)
    assert {answer.json["type"] for answer in answers if answer.status == 409} == {"/problems/tag-exists"}


def race_to_fill_an_object(ports: Sequence[int], ledger: Ledger, *, callers: int = 50, held: int = 40) -> None:
    """Callers add a tag each to an object that holds `held` of at most 50: as many succeed as there was room for."""
    path = f"/api/dms/objects/full-{new_trace_id()}/tags"
    for number in range(held):
        assert _change(ports[0], f"{path}/held{number}/state/1", {}, ledger)().status == 200
    answers = _at_once(
        [_change(port, f"{path}/tag{number}/state/1", {}, ledger) for number, port in enumerate(_deal(ports, callers))]
    )

    room = 50 - held
    assert sorted(answer.status for answer in answers) == [200] * room + [409] * (callers - room)
    assert {answer.json["type"] for answer in answers if answer.status == 409} == {"/problems/too-many-tags"}
    rows = once(ports[0], "GET", path).json["objects"][0]["properties"]["system:tags"]["value"]
    assert len(rows) == 50


def _add(port: int, path: str, ledger: Ledger) -> str:
    answer = _change(port, f"{path}/state/1", {}, ledger)()
    assert answer.status == 200, answer
    return answer.etag


def _update(port: int, path: str, etag: str, ledger: Ledger) -> Callable[[], Answer]:
    return _change(port, path, {"If-Match": etag}, ledger)


def _change(port: int, path: str, headers: dict[str, str], ledger: Ledger) -> Callable[[], Answer]:
    """A change under a trace id of its own, entered into the ledger by its answer."""
    trace_id = new_trace_id()

    def change() -> Answer:
        answer = once(port, "POST", path, {"X-B3-TraceId": trace_id, **headers})
        ledger.enter(ledger.made if answer.status == 200 else ledger.refused, trace_id)
        return answer

    return change


def _deal(ports: Sequence[int], callers: int) -> list[int]:
    return [ports[number % len(ports)] for number in range(callers)]


def _at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Makes all calls at the same moment, as near as threads can be."""
    barrier = threading.Barrier(len(calls))

    def go(call: Callable[[], T]) -> T:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(go, calls))
