"""The verifier that browsers run, on lines of schema 2: what is signed, and what stands beside it under commitments."""

from __future__ import annotations

import hmac
import json
import subprocess
from base64 import b64encode
from typing import Any

import pytest

from dms_tags.audit.trail.entry import canonical, flat
from tests.proofs.verdicts import MODULES, NODE
from tests.support.trails import entries

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not here")

RUN = """
const { part, Openings } = await import(process.argv[1]);
const lines = JSON.parse(process.argv[2]);
const told = lines.map((line) => {
  try {
    const [entry, leaf] = part(new TextEncoder().encode(line));
    const openings = new Openings();
    return [new TextDecoder().decode(leaf), openings.wrong(entry), openings.remarks()];
  } catch (error) {
    return [null, error.message, []];
  }
});
console.log(JSON.stringify(told));
"""
ACTOR, REASON = b"a" * 32, b"r" * 32


def committed(key: bytes, text: str) -> str:
    return b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def leaf() -> dict[str, Any]:
    entry = flat(next(iter(entries(1, earlier=1))))
    del entry["createdBy"]
    promised = {
        "actorCommitment": committed(ACTOR, "Jürgen \N{GRINNING FACE}"),
        "reasonCommitment": committed(REASON, "wrong page"),
    }
    return entry | promised | {"schema": 2, "changeId": "00ff"}


BESIDE = {
    "createdBy": "Jürgen \N{GRINNING FACE}",
    "reason": "wrong page",
    "erased": None,
    "actorKey": b64encode(ACTOR).decode(),
    "reasonKey": b64encode(REASON).decode(),
}
ERASED = {"createdBy": None, "erased": ["createdBy"], "actorKey": None}


@pytest.mark.parametrize(
    ("changes", "wrong", "remarks"),
    [
        ({}, None, []),
        (ERASED, None, ["of 1 entries the actor's name was erased; their commitments hold"]),
        ({"createdBy": "nobody"}, "its createdBy is not the one that was committed to when it was written", []),
        ({"reason": "another"}, "its reason is not the one that was committed to when it was written", []),
        ({"reasonKey": None}, "its reason cannot be held against the log: reasonKey or reasonCommitment was taken away", []),
        ({"createdBy": None, "actorKey": None}, "its createdBy was taken away, and nothing says that it was erased", []),
        ({"erased": ["state"]}, "tells of something else than its name or reason that it was erased", []),
        ({"erased": ["reason"]}, "has a reason that it tells was erased", []),
    ],
)
def test_schema_2(changes: dict[str, Any], wrong: str | None, remarks: list[str]) -> None:
    """The leaf is the line less name, reason and their keys, also where a state has members called so; each is held against its commitment."""
    lines = [leaf(), leaf() | {"previousState": {"createdBy": "x", "reason": 1}, "state": {"actorKey": None}}]
    assert NODE is not None
    told = subprocess.run(
        [
            NODE,
            "--input-type=module",
            "-e",
            RUN,
            MODULES / "leaf.js",
            json.dumps([canonical(line | BESIDE | changes).decode() for line in lines]),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert [[canonical(line).decode(), wrong, remarks] for line in lines] == json.loads(told)
