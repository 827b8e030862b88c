"""A bare Flask view that makes the change and its audit entry in one transaction."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, abort
from pymongo import ReturnDocument
from pymongo.client_session import ClientSession

from bench_lib.peers.bare import change, client, ready, row

app = Flask(__name__)
app.add_url_rule("/ready", view_func=ready)


@app.post("/objects/<object_id>/tags/<name>/state/<int:state>")
def update(object_id: str, name: str, state: int) -> Response:
    """Sets the tag and inserts an audit entry with the old and the new state, both or neither."""
    database = client()["bench_bare"]
    changed = change(state)
    members = {f"tags.$.{member}": value for member, value in changed.items()}

    def both(session: ClientSession) -> dict[str, Any]:
        before = database["tags"].find_one_and_update(
            {"_id": object_id, "tags.name": name}, {"$set": members}, return_document=ReturnDocument.BEFORE, session=session
        )
        if before is None:
            abort(404)
        old = next(tag for tag in before["tags"] if tag["name"] == name)
        entry = {"objectId": object_id, "name": name, "previousState": old["state"], "createdBy": "anonymous", **changed}
        database["audit"].insert_one(entry, session=session)
        return {"name": name, **changed}

    with client().start_session() as session:
        return row(session.with_transaction(both))
