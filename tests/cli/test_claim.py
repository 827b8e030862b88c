"""`dms-tags tag claim`: what it takes, and the command that it runs meanwhile, as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.client.test_claim import Queue
from tests.support import commands

CLAIM = ("tag", "claim", "ocr", "2", "--from", "1", "--on-success", "3")
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
HEEDING = "import signal, sys\nfrom dms_tags.cli.main import main\nfor number in (1, 2, 15): signal.signal(number, signal.SIG_DFL)\nsys.exit(main())"
"""The command with signals as a shell starts it, whoever runs these tests in the background."""


def test_claim_prints_what_it_took(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The object, its attempts and the tag; 3 where there was nothing."""
    service = Queue("doc")

    assert commands.run(monkeypatch, service, "tag", "claim", "ocr", "2", "--from", "1", "--lease", "9") == 0
    assert capsys.readouterr().out.split("\t")[:4] == ["doc", "3", "ocr", "2"]
    assert dict(service.requests[0].url.params) == {"limit": "1", "leaseSeconds": "9"}
    assert "system:tags[ocr].state = 1" in json.loads(service.requests[0].content)["query"]["statement"]
    assert commands.run(monkeypatch, service, "tag", "claim", "ocr", "2", "--from", "1") == 3


@pytest.mark.parametrize(("status", "end"), [(0, "finish"), (7, "release")])
def test_claim_holds_the_object_while_a_command_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, end: str
) -> None:
    """A command that ends with 0 finishes the work, any other gives it back; its status is passed on."""
    service = Queue("doc")
    seen = tmp_path / "seen"
    code = f"import sys; open(r'{seen}', 'w').write(sys.argv[1]); sys.exit({status})"
    arguments = (
        "claim",
        "ocr",
        "2",
        "--query",
        "SELECT * FROM x",
        "--on-success",
        "3",
        "--run",
        sys.executable,
        "-c",
        code,
        "{}",
    )

    assert commands.run(monkeypatch, service, "tag", *arguments) == status
    assert seen.read_text() == "doc"
    assert service.calls == ["claim", end]


def test_a_command_is_not_run_where_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty queue is told by the status."""
    arguments = ("claim", "ocr", "2", "--from", "1", "--run", "no-such-command")

    assert commands.run(monkeypatch, Queue(), "tag", *arguments) == 3


@contextmanager
def claiming(url: str, *command: str) -> Iterator[subprocess.Popen[str]]:
    """The command line that claims and runs `command`, as a process without a terminal."""
    line = [sys.executable, "-c", HEEDING, *CLAIM, *(("--run", *command) if command else ())]
    process = subprocess.Popen(
        line,
        env={**os.environ, "DMS_TAGS_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_goes_to_the_command_and_the_object_back(number: int) -> None:
    """It is passed on and the command waited for; however that ends, the object is given back, and the status tells the signal."""
    service = Queue("doc")
    code = (
        "import signal, sys\n"
        f"signal.signal({number:d}, lambda *_: (print('told', flush=True), sys.exit(0)))\n"
        "print('ready', flush=True)\n"
        "while True: signal.pause()"
    )
    with commands.served(service) as url, claiming(url, sys.executable, "-c", code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)

    assert (out, err, process.returncode) == ("told\n", "", 128 + number)
    assert service.calls == ["claim", "release"]


def test_an_ignored_signal_stays_ignored() -> None:
    """Under nohup the end of the terminal ends neither the command nor its child."""
    service = Queue("doc")
    code = "import sys; print('ready', flush=True); sys.stdin.readline()"
    line = ["/usr/bin/env", "nohup", sys.executable, "-m", "dms_tags.cli.main", *CLAIM, "--run", sys.executable, "-c", code]
    with commands.served(service) as url:
        process = subprocess.Popen(
            line,
            env={**os.environ, "DMS_TAGS_URL": url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        process.communicate("go on\n", timeout=30)

    assert process.returncode == 0
    assert service.calls == ["claim", "finish"]


def test_a_signal_before_the_command_ends_the_claim() -> None:
    """While the claim is under way there is nobody to pass the signal on to: nothing is run."""
    asked, answer = threading.Event(), threading.Event()
    queue = Queue()

    def service(request: httpx.Request) -> httpx.Response:
        asked.set()
        answer.wait(30)
        return queue(request)

    with commands.served(service) as url, claiming(url, "no-such-command") as process:
        assert asked.wait(30)
        process.terminate()
        _, err = process.communicate(timeout=30)
        answer.set()

    assert (err, process.returncode) == ("", 128 + signal.SIGTERM)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import sys; sys.exit(3)", 103),
        ("import sys; sys.exit(1)", 1),
        ("import os; os.kill(os.getpid(), 9)", 128 + signal.SIGKILL),
    ],
)
def test_how_a_command_ended_is_told_apart(code: str, status: int) -> None:
    """Its status is passed on, a 3 as 103 since 3 says that there was nothing to claim; a killed one is 128 and the signal."""
    service = Queue("doc")
    with commands.served(service) as url, claiming(url, sys.executable, "-c", code) as process:
        process.communicate(timeout=30)

    assert process.returncode == status
    assert service.calls == ["claim", "release"]


def test_a_command_that_is_not_there_gives_the_object_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, and the status is 2."""
    service = Queue("doc")

    assert commands.run(monkeypatch, service, *CLAIM, "--run", "no-such-command") == 2
    assert capsys.readouterr().err == "dms-tags: no-such-command cannot be run: No such file or directory\n"
    assert service.calls == ["claim", "release"]


@pytest.mark.parametrize("which", [[], ["--from", "1", "--query", "SELECT * FROM x"], ["--from", "1", "--run"]])
def test_a_claim_that_says_too_little_or_too_much_is_refused(monkeypatch: pytest.MonkeyPatch, which: list[str]) -> None:
    """It needs the one queue that it takes from, and `--run` a command; nothing is sent."""
    service = Queue("doc")

    assert commands.run(monkeypatch, service, "tag", "claim", "ocr", "2", *which) == 2
    assert not service.calls


def test_states_below_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """A negative state is no option."""
    service = Queue("doc")

    assert commands.run(monkeypatch, service, "tag", "claim", "ocr", "-2", "--from", "-1") == 0
    assert service.requests[0].url.path.endswith("/state/-2")
