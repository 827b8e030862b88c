"""The asynchronous client, for asyncio: the same calls as the blocking one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any, ParamSpec, Self, TypeVar, overload

import httpx

from dms_tags.client import calls
from dms_tags.client.attempts import Retries, conversation
from dms_tags.client.base import Client, Method, tell_kept, tell_late, tell_lost
from dms_tags.client.connection import reply_of
from dms_tags.client.errors import DmsTagsError, LockLost, Unreachable
from dms_tags.client.model import Claimed, Event, EventBatch, Tag
from dms_tags.client.wire import Call, Reply
from dms_tags.client.work import LOST, Held

P = ParamSpec("P")
T = TypeVar("T")


class _Method(Method[P, T]):
    """A call as a method of the client, with the call's own signature."""

    @overload
    def __get__(self, client: None, owner: type[AsyncDmsTags]) -> Self: ...

    @overload
    def __get__(self, client: AsyncDmsTags, owner: type[AsyncDmsTags]) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, client: AsyncDmsTags | None, owner: type[AsyncDmsTags]) -> Self | Callable[P, Coroutine[Any, Any, T]]:
        if client is None:
            return self

        async def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return await client.send(self.build(*args, **kwargs))

        return self.named(method)


class AsyncDmsTags(Client):
    """A connection to the tag service.  Belongs to one event loop; close it, or use it in an `async with`.

    Every call is repeated while it fails in a way that may pass, within `retries.deadline` seconds; changes are made once
    however often they are sent.  Raises what `dms_tags.client.errors` lists.

    >>> async with AsyncDmsTags("http://127.0.0.1:8080", token="…") as client:
    ...     tag = await client.add("8f2c", "ocr", 1)
    ...     await client.update("8f2c", "ocr", 2, if_match=tag.etag)
    """

    get = _Method(calls.get)
    tags = _Method(calls.tags)
    add = _Method(calls.add)
    update = _Method(calls.update)
    set = _Method(calls.set_tag)
    delete = _Method(calls.delete)
    batch = _Method(calls.batch)
    search = _Method(calls.search)
    take = _Method(calls.take)
    extend = _Method(calls.extend)
    give_back = _Method(calls.give_back)
    history = _Method(calls.history)
    audit = _Method(calls.audit)
    definitions = _Method(calls.definitions)
    definition = _Method(calls.definition)
    define = _Method(calls.define)
    undefine = _Method(calls.undefine)

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        tenant: str | None = None,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`url` and `token` come from `DMS_TAGS_URL` and `DMS_TAGS_TOKEN` where they are not given."""
        super().__init__(url, token, tenant, retries)
        self._sleep = sleep
        self._http = httpx.AsyncClient(**self._connection.http, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections; streams and claims that are still open end with an error."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Makes a call of `dms_tags.client.calls`: what every method does."""
        talk = conversation(call, self._retries)
        try:
            attempt = next(talk)
            while True:
                if attempt.after:
                    await self._sleep(attempt.after)
                attempt = talk.send(await self._once(call, attempt.timeout))
        except StopIteration as end:
            result: T = end.value
            return result

    async def _once(self, call: Call[Any], timeout: float) -> Reply | Unreachable:
        try:
            return reply_of(await self._http.request(**self._connection.request(call, timeout)))
        except httpx.RequestError as error:
            return self._connection.unreachable(error)

    @asynccontextmanager
    async def claim(
        self,
        name: str,
        state: int,
        query: str,
        *,
        lease_seconds: int = 60,
        on_success: int | None = None,
        trace_id: str | None = None,
    ) -> AsyncIterator[AsyncWork | None]:
        """Takes the first object that the statement finds, holds it while the block runs, and marks it finished.

        None where there is no work.  The lease is extended in the background.  Where the block ends well the tag is set to
        `on_success`, unless `work.finish(state)` was called; where it raises, or neither was said, the object goes back to
        the queue.  A worker that dies loses it after `lease_seconds`; one that was too slow gets `LockLost`.
        """
        asked_at = time.monotonic()
        taken = await self.take(name, state, query, lease_seconds=lease_seconds, trace_id=trace_id)
        if not taken:
            yield None
            return
        work = AsyncWork(self, taken[0], lease_seconds, asked_at)
        async with work.holding():
            yield work
            if on_success is not None and not work.settled:
                await work.finish(on_success)

    async def events(
        self,
        *,
        name: str | None = None,
        state: int | None = None,
        object_id: str | None = None,
        after: int | None = None,
        patience: float | None = None,
    ) -> AsyncIterator[Event]:
        """Changes as they are recorded, each once, from position `after` on (None: from now on), without end.

        It comes back by itself after a loss and goes on where it was.  Raises `Gone` where the trail no longer reaches back
        to `after`, and `Unreachable` when there was no connection for `patience` seconds (None: it never gives up).
        """
        batches = self.event_batches(name=name, state=state, object_id=object_id, after=after, patience=patience)
        async with aclosing(batches):
            async for batch in batches:
                for event in batch.events:
                    yield event

    async def event_batches(
        self,
        *,
        name: str | None = None,
        state: int | None = None,
        object_id: str | None = None,
        after: int | None = None,
        patience: float | None = None,
    ) -> AsyncGenerator[EventBatch, None]:
        """The same in pieces as they come, each with the position reached: what a follower keeps to go on from."""
        following = self._following(name, state, object_id, after, patience)
        while True:
            try:
                async with self._http.stream(**self._connection.following(following)) as answer:
                    if answer.status_code == httpx.codes.OK:
                        async for chunk in answer.aiter_bytes():
                            yield following.receive(chunk)
                        delay = following.lost()
                    else:
                        await answer.aread()
                        delay = following.refused(reply_of(answer))
            except httpx.RequestError as error:
                delay = following.lost(self._connection.unreachable(error))
            await self._sleep(delay)


class AsyncWork(Held):
    """An object that this worker holds; see `AsyncDmsTags.claim`."""

    def __init__(self, client: AsyncDmsTags, claimed: Claimed, lease_seconds: int, asked_at: float) -> None:
        super().__init__(claimed, lease_seconds, asked_at)
        self._client = client
        self._turn = asyncio.Lock()  # an extension that overtakes the end of the work would look like a lost lease

    async def finish(self, state: int, *, reason: str | None = None) -> Tag:
        """Sets the tag to its next state, for a `reason`, and ends the lease.  Raises `LockLost` where the lease had run out."""
        async with self._turn:
            with self.asking(LockLost):
                tag = await self._client.send(self.finish_call(state, reason))
            self.settled = True
            return tag

    async def extend(self, seconds: int | None = None) -> None:
        """Extends the lease by hand, to `seconds` from now; the block does it by itself every third of it."""
        async with self._turn:
            if not self.settled:
                asked_at = time.monotonic()
                with self.asking(*LOST):
                    await self._client.send(self.extend_call(seconds))
                self.extended(asked_at, seconds)

    async def release(self) -> None:
        """Gives the object back to the queue, to be claimed again at once."""
        async with self._turn:
            with self.asking(*LOST):
                await self._client.send(self.release_call())
            self.settled = True

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """Extends the lease while the block runs, and gives the object back unless it was finished."""
        keeper = asyncio.create_task(self._keep(), name=f"lease of {self.object_id}")
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
            if not self.settled:
                try:
                    await self.release()
                except DmsTagsError as error:  # it runs out by itself; what the block raised matters more
                    tell_kept(self, error)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self.pause)
            try:
                await self.extend()
            except LOST as error:
                tell_lost(self, error)
                return
            except DmsTagsError as error:
                tell_late(self, error)
