"""The HTTP server: gunicorn with the processes and limits that `Settings` give.  Run by the supervisor.

The master imports next to nothing, and each worker imports the application after gevent has patched what blocks.
"""

from __future__ import annotations

import logging
import resource
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from dms_tags.errors import CannotStart
from dms_tags.serving import logs
from dms_tags.serving.failure import report_cannot_start
from dms_tags.serving.tether import end_with_parent
from dms_tags.settings import Settings

CONNECTIONS: Final = 4_000
"""Connections that one process holds at once, idle event streams included."""
SPARE_FILES: Final = 500
"""Files that a process needs beside them: its connections to MongoDB, its log."""
REQUEST_LINE: Final = 8_190
HEADERS: Final = 64
HEADER_BYTES: Final = 8_190
STOP_SECONDS: Final = 6
"""How long the master waits for its processes; each needs at most `worker.GRACE_SECONDS` and a little."""
HANG_SECONDS: Final = 60
"""A process that does not report for so long hangs, and is replaced."""

Application = Callable[..., Any]


class Server(BaseApplication):  # type: ignore[misc] # gunicorn is not typed
    """gunicorn, serving what `factory` makes in each process on the listening socket `descriptor`."""

    def __init__(self, settings: Settings, descriptor: int, factory: Callable[[Settings], Application]) -> None:
        self.settings = settings
        self._descriptor = descriptor
        self._factory = factory
        super().__init__()

    def load_config(self) -> None:
        """Everything that gunicorn is told; it reads no file and no environment of its own."""
        for name, value in {
            "bind": f"fd://{self._descriptor}",
            "workers": self.settings.processes,
            "worker_class": "dms_tags.serving.worker.Worker",
            "worker_connections": min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES),
            "keepalive": self.settings.request_seconds,
            "timeout": HANG_SECONDS,
            "graceful_timeout": STOP_SECONDS,
            "limit_request_line": REQUEST_LINE,
            "limit_request_fields": HEADERS,
            "limit_request_field_size": HEADER_BYTES,
            "control_socket_disable": True,
            "forwarded_allow_ips": "",  # which proxies are believed is the application's to know
            "logger_class": AccessLog,
            "accesslog": "-" if self.settings.access_log else None,
            "post_fork": _end_with_master,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Application:
        """The application of one process."""
        self._application = self._factory(self.settings)
        return self._application

    def end_streams(self) -> None:
        """Ends the answers that would otherwise go on for as long as their clients listen."""
        from dms_tags.app import EXTENSION

        services = getattr(self._application, "extensions", {}).get(EXTENSION)
        if services is not None:
            services.feed.close()
            services.console.closing.set()


class AccessLog(Logger):  # type: ignore[misc] # gunicorn is not typed
    """gunicorn's log lines and one for each request, through the handlers of the process."""

    def setup(self, cfg: Any) -> None:
        """Leaves the handlers to `dms_tags.serving.logs`."""
        self._every_request = cfg.accesslog is not None
        self.error_log.setLevel(logging.WARNING)
        self.error_log.propagate = self.access_log.propagate = True

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """One request: what was asked, by whom, what became of it; never its query or headers, where secrets may be."""
        if not self._every_request:
            return
        from dms_tags.api.gate.log_fields import ENVIRON_KEY

        fields = {
            "method": req.method,
            "path": req.path,
            "status": int(resp.status.split()[0]),
            "bytes": resp.sent,
            "ms": round(request_time.total_seconds() * 1000, 1),
            "address": environ.get("REMOTE_ADDR"),
            **environ.get(ENVIRON_KEY, {}),
        }
        self.access_log.info("request", extra={"fields": fields})


def run(settings: Settings, descriptor: int, factory: Callable[[Settings], Application]) -> None:
    """Serves on the listening socket `descriptor` until SIGTERM; ends the process."""
    allow_many_files()
    Arbiter(Server(settings, descriptor, factory)).run()


def allow_many_files() -> None:
    """Raises the limit of open files as far as the system lets this process: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(hard, wanted), hard))


def _end_with_master(arbiter: Arbiter, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    end_with_parent(signal.SIGTERM, arbiter.pid)


def _application(settings: Settings) -> Application:
    # Imported only now: gevent has patched what these build on.
    from dms_tags import counters, create_app, tracing
    from dms_tags.api.gate.log_fields import OfCall
    from dms_tags.app import EXTENSION

    if not settings.in_memory:
        # That MongoDB does not answer is said by the keeper, once for all processes.
        logging.getLogger("dms_tags.app").setLevel(logging.ERROR)
    counters.note_start("worker")
    try:
        if settings.tracing:
            tracing.begin()
        application = create_app(settings)
    except CannotStart as error:
        report_cannot_start(error)
    for handler in logging.getLogger().handlers:
        handler.addFilter(OfCall())
    if settings.in_memory:
        from dms_tags.serving.keeper import Keeper, duties

        Keeper(duties(settings, application.extensions[EXTENSION].database)).start()
    return application


def main() -> None:
    """The process that the supervisor starts: its only argument is the listening socket's descriptor."""
    try:
        settings = Settings.from_environment()
        logs.configure(settings)
        run(settings, int(sys.argv[1]), _application)
    except CannotStart as error:
        report_cannot_start(error)


if __name__ == "__main__":
    main()
