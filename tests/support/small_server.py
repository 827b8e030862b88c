"""The service's HTTP server with an application of a few lines behind it, to try out the server alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dms_tags.serving import logs, web
from dms_tags.serving.listener import listen
from dms_tags.settings import Settings

StartResponse = Callable[[str, list[tuple[str, str]]], object]


def application(_settings: Settings) -> web.Application:
    """Answers `/stream` and `/flood` without end, `/slow` after a second, anything else with the length of the body, announced and read."""

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/stream":
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return _stream(b": still here\n\n", 5)
        if environ["PATH_INFO"] == "/flood":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return _stream(b"x" * 100_000, 0)
        if environ["PATH_INFO"] == "/slow":
            time.sleep(1)
        length = f"{environ.get('CONTENT_LENGTH', 0)} {len(environ['wsgi.input'].read())}".encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(length)))])
        return [length]

    return answer


def _stream(piece: bytes, pause: float) -> Iterator[bytes]:
    while True:
        yield piece
        time.sleep(pause)


if __name__ == "__main__":
    settings = Settings.from_environment()
    logs.configure(settings)
    listener = listen(settings)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    web.run(settings, listener.fileno(), application)
