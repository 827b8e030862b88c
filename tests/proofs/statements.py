"""Statements that were made up at random, asked of a real service: none may fail it, and none may keep it busy."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as how

from dms_tags.client import BatchChange, DmsTags
from dms_tags.query import Statement, render
from dms_tags.query.statement import Condition, Or
from tests.proofs.caller import Answer, Caller
from tests.query.strategies import CONDITIONS, MUTATED, STATEMENTS

NAMES: Final = ("ocr", "index:resistant", "a")
LONGEST_SECONDS: Final = 5.0
"""What a statement may keep the service busy for (API.md section 3)."""

MARGIN_SECONDS: Final = 1.5
"""What all of them may take longer on a machine where callers, service and MongoDB share the processors."""

LARGE: Final = 0.01
"""The part of the statements that join many conditions: some of them more than are allowed."""


LINE: Final = 1000
"""Characters of a statement that fits into the address of a claim; a longer one is sent as its body."""


@dataclass(slots=True)
class Asked:
    """How many answers had which status, how long they took in seconds, and what should not have been."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def take(self, text: str, answer: Answer) -> None:
        """One answer: only 200, or 400 with a reason, in time."""
        self.statuses[answer.status] += 1
        self.seconds.append(answer.seconds)
        sound = answer.status == 200 or (answer.status == 400 and answer.json["type"].endswith("invalid-query"))
        if not sound or answer.seconds > LONGEST_SECONDS + MARGIN_SECONDS:
            self.faults.append(f"{answer.status} after {answer.seconds:.1f} s: {text[:500]!r} {answer.body[:300]!r}")


def ask(ports: Sequence[int], *, statements: int, objects: int, callers: int = 4) -> Asked:
    """Asks so many statements about so many objects, each as a search, every fourth as a claim too; asserts that all went well."""
    _seed(ports[0], objects)
    texts = made_up(statements)
    asked = Asked()
    lock = threading.Lock()

    def call(first: int) -> None:
        caller = Caller(ports[first % len(ports)])
        try:
            for number in range(first, len(texts), callers):
                for answer in _calls(caller, texts[number], claim=number % 4 == 0):
                    with lock:
                        asked.take(texts[number], answer)
        finally:
            caller.close()

    with ThreadPoolExecutor(callers) as pool:
        for done in [pool.submit(call, first) for first in range(callers)]:
            done.result()
    asked.seconds.sort()
    assert asked.faults == [], asked.faults[:3]
    assert asked.statuses[200] > statements / 4, "too few of the statements were any"
    assert asked.statuses[400] > statements / 8, "too few of the statements were none"
    return asked


def made_up(count: int) -> list[str]:
    """So many texts: statements, statements with places changed, and a few that are very large."""
    found: list[tuple[str, Condition]] = []

    @how(max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(STATEMENTS.map(render) | MUTATED, CONDITIONS)
    def collect(text: str, condition: Condition) -> None:
        found.append((text, condition))

    while len(found) < count:  # it ends early where it has seen all there is
        collect()
    conditions = [condition for _, condition in found]
    return [_large(conditions) if random.random() < LARGE else text for text, _ in found[:count]]


def _large(conditions: Sequence[Condition]) -> str:
    return render(Statement("document", Or(tuple(random.choices(conditions, k=random.randint(20, 120))))))


def _calls(caller: Caller, text: str, *, claim: bool) -> list[Answer]:
    body = json.dumps({"query": {"statement": text, "maxItems": random.choice((1, 50, 1000))}})
    answers = [caller.call("POST", "/api/dms/objects/search", body=body.encode())]
    if claim:
        state = random.randrange(5)
        path = f"/api/dms/objects/tags/{random.choice(NAMES)}/state/{state}?leaseSeconds=1"
        if len(text) <= LINE:
            answers.append(caller.call("POST", f"{path}&{urlencode({'query': text})}"))
        else:
            answers.append(caller.call("POST", path, body=body.encode()))
    return answers


def _seed(port: int, objects: int) -> None:
    with DmsTags(f"http://127.0.0.1:{port}") as client:
        for first in range(0, objects, 300):
            changes = [
                BatchChange(f"object-{number}", name, random.randrange(5))
                for number in range(first, min(first + 300, objects))
                for name in NAMES
                if random.random() < 0.7
            ]
            assert all(outcome.error is None for outcome in client.batch(changes))
