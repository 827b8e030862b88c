"""FastAPI with Beanie: a document with `use_revision`, which is read, changed and saved, then an audit entry inserted beside it.

The two writes are not atomic, as in applications made so.  A save that another one overtook is tried again.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

from beanie import Document, init_beanie
from beanie.exceptions import RevisionIdWasChanged
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from pymongo import AsyncMongoClient

ATTEMPTS = 5


class Tag(BaseModel):
    """One tag of an item."""

    name: str
    state: int
    traceid: str
    creation_date: datetime = Field(default_factory=lambda: datetime.now(UTC))


class Item(Document):
    """An object with its tags."""

    id: str  # type: ignore[assignment]
    tags: list[Tag]

    class Settings:
        """What Beanie reads."""

        name = "beanie_tags"
        use_revision = True


class Entry(Document):
    """What was changed."""

    object_id: str
    name: str
    state: int
    previous_state: int
    traceid: str
    at: datetime

    class Settings:
        """What Beanie reads."""

        name = "beanie_audit"
        indexes: ClassVar = ["object_id"]


@asynccontextmanager
async def _connected(_app: FastAPI) -> AsyncIterator[None]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        os.environ["BENCH_MONGO_URI"], w="majority", uuidRepresentation="standard"
    )
    await init_beanie(database=client["bench_bare"], document_models=[Item, Entry])
    yield
    await client.close()


app = FastAPI(lifespan=_connected)


@app.get("/ready")
async def ready() -> str:
    """Answers once Beanie has made its indexes."""
    return "ready"


@app.post("/objects/{object_id}/tags/{name}/state/{state}")
async def update(object_id: str, name: str, state: int) -> dict[str, Any]:
    """Sets the tag, then records it."""
    for _ in range(ATTEMPTS):
        item = await Item.get(object_id)
        tag = next((tag for tag in item.tags if tag.name == name), None) if item else None
        if item is None or tag is None:
            raise HTTPException(404)
        previous, tag.state = tag.state, state
        tag.traceid, tag.creation_date = secrets.token_hex(8), datetime.now(UTC)
        try:
            await item.replace()
        except RevisionIdWasChanged:
            continue
        await Entry(
            object_id=object_id, name=name, state=state, previous_state=previous, traceid=tag.traceid, at=tag.creation_date
        ).insert()
        row = [name, state, tag.creation_date.isoformat(), tag.traceid]
        return {"objects": [{"properties": {"system:tags": {"value": [row]}}}]}
    raise HTTPException(409)
