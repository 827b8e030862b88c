"""A bare Flask view that makes the one write of a change and records nothing: the floor that a framework cannot go below."""

from __future__ import annotations

from flask import Flask, Response, abort
from pymongo import ReturnDocument

from bench_lib.peers.bare import change, client, ready, row

app = Flask(__name__)
app.add_url_rule("/ready", view_func=ready)


@app.post("/objects/<object_id>/tags/<name>/state/<int:state>")
def update(object_id: str, name: str, state: int) -> Response:
    """Sets the tag in one findOneAndUpdate."""
    members = {f"tags.$.{member}": value for member, value in change(state).items()}
    document = client()["bench_bare"]["tags"].find_one_and_update(
        {"_id": object_id, "tags.name": name}, {"$set": members}, return_document=ReturnDocument.AFTER
    )
    if document is None:
        abort(404)
    return row(next(tag for tag in document["tags"] if tag["name"] == name))
