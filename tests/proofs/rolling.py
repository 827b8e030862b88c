"""Services that are stopped and started again in turn, under load: no call is lost, and no event.

Callers reach them without a proxy (one that is refused, before anything was sent, goes to the next) or through nginx.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dms_tags.client import DmsTags
from dms_tags.serving.mongod import eventually, free_port
from tests.proofs.services import Crashable
from tests.support.nginx import proxying

CALLERS: Final = 6
LISTEN_SECONDS: Final = 60.0

SPREAD: Final = """
  upstream services {{ {servers} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://services; proxy_http_version 1.1; proxy_set_header Host $host; proxy_buffering off; }}
  }}
"""


class Caller(threading.Thread):
    """Sets one object's tag to 1, 2, 3 …, one call after the other; `made` is how far it came."""

    def __init__(self, name: str, ports: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self.object_id = name
        self.made = 0
        self.failure: BaseException | None = None
        self.enough = threading.Event()
        self._ports = ports

    def run(self) -> None:
        """Until it is enough, or a call failed."""
        number = 0
        while not self.enough.is_set() and self.failure is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._ports[number % len(self._ports)], timeout=30)
            try:
                connection.connect()
            except ConnectionRefusedError:
                number += 1
                continue
            try:
                self._call(connection)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failure = error
            finally:
                connection.close()

    def _call(self, connection: http.client.HTTPConnection) -> None:
        while not self.enough.is_set():
            overwrite = "?overwrite=true" if self.made else ""
            connection.request("POST", f"/api/dms/objects/{self.object_id}/tags/rolling/state/{self.made + 1}{overwrite}")
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, (answer.status, body[:300])
            self.made += 1
            if answer.will_close:
                return


def restart_in_turn(services: Sequence[Crashable], ports: Sequence[int], *, restarts: int) -> int:
    """Stops and starts the services in turn while callers at `ports` write; how many changes they made.

    Asserts that every call was answered with 200 and that a listener was told of every change, once and in order.
    """
    callers = [Caller(f"rolling-{ports[0]}-{number}", ports) for number in range(CALLERS)]
    heard: dict[str, list[int]] = {caller.object_id: [] for caller in callers}
    over = threading.Event()
    listener = threading.Thread(target=_listen, args=(ports[0], heard, over), daemon=True)
    listener.start()
    for caller in callers:
        caller.start()
    try:
        for number in range(restarts):
            before = [caller.made for caller in callers]
            services[number % len(services)].restart()
            eventually(_went_on_or_failed(callers, before), 60)
            assert not _failed(callers), _failed(callers)
            assert _all_went_on(callers, before)
        for caller in callers:
            caller.enough.set()
        for caller in callers:
            caller.join(60)
        assert not _failed(callers), _failed(callers)
        wanted = {caller.object_id: list(range(1, caller.made + 1)) for caller in callers}
        eventually(lambda: heard == wanted, LISTEN_SECONDS)
        assert heard == wanted, {name: (len(heard[name]), len(wanted[name])) for name in wanted}
    finally:
        for caller in callers:
            caller.enough.set()
        over.set()
        with DmsTags(f"http://127.0.0.1:{ports[0]}") as client:
            client.set(f"rolling-{ports[0]}-over", "rolling", 1)  # an event that lets the listener see it
        listener.join(30)
    return sum(caller.made for caller in callers)


def _went_on_or_failed(callers: Sequence[Caller], before: Sequence[int]) -> Callable[[], bool]:
    return lambda: bool(_failed(callers)) or _all_went_on(callers, before)


def _all_went_on(callers: Sequence[Caller], before: Sequence[int]) -> bool:
    return all(caller.made > then for caller, then in zip(callers, before, strict=True))


def _failed(callers: Sequence[Caller]) -> list[BaseException]:
    return [caller.failure for caller in callers if caller.failure is not None]


def _listen(port: int, heard: dict[str, list[int]], over: threading.Event) -> None:
    """The events at one address, over its restarts: the client comes again, and goes on after the last one."""
    with DmsTags(f"http://127.0.0.1:{port}") as client:
        for event in client.events(name="rolling", after=0):
            if event.entry.object_id in heard:
                heard[event.entry.object_id].append(int(event.entry.state))
            if over.is_set():
                return


@contextmanager
def behind_nginx(folder: Path, services: Sequence[Crashable]) -> Iterator[int]:
    """The port of an nginx that spreads calls over the services."""
    port = free_port()
    servers = " ".join(f"server 127.0.0.1:{service.port} max_fails=0;" for service in services)
    with proxying(folder, SPREAD.format(servers=servers, port=port), port):
        yield port
