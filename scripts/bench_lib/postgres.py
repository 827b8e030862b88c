"""One real PostgreSQL for a bench run, in a folder that goes with it, where a distribution has installed one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dms_tags.serving.mongod import free_port

UNPRIVILEGED = "postgres"
"""The user that runs it where the bench is root's: PostgreSQL refuses to run as root."""


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`; None: there is none here."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """Runs a PostgreSQL from `folder`, durable as it is by default, and gives the words to connect to it with."""
    with tempfile.TemporaryDirectory(prefix="dms-tags-bench-") as place:
        data, port = Path(place, "data"), free_port()
        as_user: dict[str, int] = {}
        if os.getuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED)
            os.chown(place, user.pw_uid, user.pw_gid)
            as_user = {"user": user.pw_uid, "group": user.pw_gid}
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8"],
            check=True, stdout=subprocess.DEVNULL, cwd=place, **as_user,
        )  # fmt: skip
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={place}"
        control = [folder / "pg_ctl", "-D", data, "-w", "-l", Path(place, "log")]
        subprocess.run([*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd=place, **as_user)
        try:
            yield f"host=127.0.0.1 port={port} user=bench dbname=postgres"
        finally:
            subprocess.run([*control, "-m", "fast", "stop"], check=True, stdout=subprocess.DEVNULL, cwd=place, **as_user)
