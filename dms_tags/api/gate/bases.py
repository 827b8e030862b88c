"""The DMS's own clients call the same calls below several paths: each of them leads to the one that is declared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

OWN: Final = "/api/dms"


class Bases:
    """WSGI middleware: what is asked below one of `bases` is answered as if it were below `OWN`."""

    def __init__(self, app: WSGIApplication, bases: Iterable[str]) -> None:
        self._app = app
        self._bases = tuple(f"{base}/" for base in bases if base != OWN)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers the request."""
        path: str = environ.get("PATH_INFO", "")
        if path.startswith(self._bases):
            base = next(base for base in self._bases if path.startswith(base))
            environ["PATH_INFO"] = f"{OWN}/{path.removeprefix(base)}"
        return self._app(environ, start_response)
