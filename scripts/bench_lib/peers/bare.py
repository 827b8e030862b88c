"""What the two bare Flask views share: the collection, made once a process after the fork, and the row of an answer."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from functools import cache
from typing import Any

from flask import Response, jsonify
from pymongo import MongoClient


@cache
def client() -> MongoClient[dict[str, Any]]:
    """The process's client, with the write concern that every contender has: majority, journaled."""
    return MongoClient(os.environ["BENCH_MONGO_URI"], w="majority")


def change(state: int) -> dict[str, Any]:
    """The members of a tag that an update sets."""
    return {"state": state, "traceid": secrets.token_hex(8), "creationDate": datetime.now(UTC)}


def row(tag: dict[str, Any]) -> Response:
    """The answer to a change, in the DMS's form."""
    value = [tag["name"], tag["state"], tag["creationDate"].isoformat(), tag["traceid"]]
    return jsonify({"objects": [{"properties": {"system:tags": {"value": [value]}}}]})


def ready() -> str:
    """Answers once MongoDB does."""
    client().admin.command("ping")
    return "ready"
