"""A real nginx in front of services, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from dms_tags.serving.mongod import eventually

FRAME: Final = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {http}
}}
"""


def nginx() -> str:
    """Debian's nginx, which need not be on every user's path; empty where there is none."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin") or ""


@contextmanager
def proxying(folder: Path, http: str, port: int) -> Iterator[None]:
    """An nginx with `http` as what it serves, from the time on that it answers at the port."""
    folder.mkdir()
    (folder / "nginx.conf").write_text(FRAME.format(folder=folder, http=http))
    command = [nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as proxy:
        try:
            assert eventually(lambda: _answers(port), 20), (folder / "error.log").read_text()
            yield
        finally:
            proxy.terminate()


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
