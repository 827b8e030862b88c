"""Rows `objects`: several tags of one object in a request, and the tag of an object that a statement names, beside single updates."""

from __future__ import annotations

from typing import Final

from bench_lib import load
from bench_lib.load import OBJECTS, Request
from bench_lib.report import Target
from bench_lib.run import Run, add_tags

DATABASE: Final = "bench_objects"
SINGLE, FIVE, PINNED = "update: one tag a request", "PATCH of five tags (requests)", "set by a statement that names the object"
NAMES: Final = "abcde"
_OBJECT: Final = f'"o" .. math.random(1, {OBJECTS})'
_ROWS: Final = " .. ',' .. ".join(f"""'["{name}",' .. math.random(1, 9999) .. ']'""" for name in NAMES)

PATCH: Final = Request(
    "PATCH",
    f'"/api/dms/objects/" .. {_OBJECT}',
    {"Content-Type": "application/json"},
    f"""'{{"objects":[{{"properties":{{"system:tags":{{"value":[' .. {_ROWS} .. ']}}}}}}]}}'""",
)
SET: Final = Request(
    "POST",
    '"/api/dms/objects/tags/tag1/state/" .. math.random(1, 9999) .. '
    f""""?query=SELECT%20*%20FROM%20document%20WHERE%20system:objectId='" .. {_OBJECT} .. "'\"""",
)


def measure(run: Run) -> None:
    """Each round loads the three, one after the other."""
    run.prepared(DATABASE)
    with run.service(DATABASE) as service:
        add_tags(service)
        for _ in range(run.rounds):
            run.measure(SINGLE, service, load.UPDATE_TAG)
            run.measure(FIVE, service, PATCH)
            run.measure(PINNED, service, SET)
    run.report.targets += [
        Target("PATCH of five tags, by single updates", lambda report: report.ratio(FIVE, SINGLE), least=0.6, unit=" x"),
        Target("set by a statement, by single updates", lambda report: report.ratio(PINNED, SINGLE), least=0.5, unit=" x"),
    ]
