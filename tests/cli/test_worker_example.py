"""`scripts/worker-example`, as whoever tries it out starts and stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.test_claim import Queue
from tests.support import commands

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = [sys.executable, str(ROOT / "scripts" / "worker-example")]


def environment(**more: str) -> dict[str, str]:
    """The example finds the client where it stands."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


@pytest.mark.parametrize(("line", "status"), [(["--help"], 0), ([], 2), (["ocr", "one"], 2)])
def test_it_explains_itself(line: list[str], status: int) -> None:
    """`--help` and a line that is none tell how it is used."""
    ended = subprocess.run([*EXAMPLE, *line], env=environment(), capture_output=True, text=True, check=False)

    assert status == ended.returncode
    assert "usage: worker-example" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_ctrl_c_gives_back_what_is_held() -> None:
    """It ends quietly with 130, and the object is in the queue again."""
    service = Queue("doc")
    work = [
        sys.executable,
        "-c",
        "import signal; signal.signal(2, lambda *_: exit()); print('ready', flush=True); signal.pause()",
    ]
    # with Ctrl-C as a shell starts it, whoever runs these tests in the background
    heeding = f"import runpy, signal; signal.signal(2, signal.default_int_handler); runpy.run_path({EXAMPLE[1]!r})"
    with commands.served(service) as url:
        process = subprocess.Popen(
            [sys.executable, "-c", heeding, "ocr", "1", "2", "3", "4", *work],
            env=environment(DMS_TAGS_URL=url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it, to the work too
        _, err = process.communicate(timeout=30)

    assert (130, "") == (process.returncode, err)
    assert ["claim", "release"] == service.calls
