"""The command `dms-tags`, as it is typed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dms_tags import __version__
from dms_tags.cli import main
from dms_tags.serving.mongod import free_port
from dms_tags.settings import settings_table


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """`dms-tags version` prints it, and nothing else."""
    assert 0 == main.main(["version"])
    assert f"{__version__}\n" == capsys.readouterr().out


def test_every_setting_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """`dms-tags settings` has one line for each, with its default and meaning."""
    assert 0 == main.main(["settings"])

    lines = capsys.readouterr().out.splitlines()
    assert len(settings_table()) == len(lines)
    assert all(
        line.startswith(variable) and line.endswith(meaning)
        for line, (variable, _, meaning) in zip(lines, settings_table(), strict=True)
    )


def test_a_misspelt_setting_is_told_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot start ends with status 2 and one line that names the nearest right setting."""
    monkeypatch.setenv("DMS_TAGS_BINT", "127.0.0.1:0")

    assert 2 == main.main(["serve"])
    assert "dms-tags: DMS_TAGS_BINT is no setting of dms-tags; the nearest is DMS_TAGS_BIND\n" == capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(main.COMMANDS))
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` works for each command, and says what it is for."""
    assert 0 == main.main([command, "--help"])
    assert main.COMMANDS[command][1][1:] in " ".join(capsys.readouterr().out.split())


def test_a_client_command_imports_no_server() -> None:
    """`dms-tags tag` loads neither Flask nor PyMongo: it is a client, and starts fast."""
    code = "import sys; from dms_tags.cli import main; main.main(['tag', '--help']); print('flask' in sys.modules, 'pymongo' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert "False False" == done.stdout.splitlines()[-1]


def test_help_loads_no_command() -> None:
    """The list of commands is told without importing any of them."""
    code = "import sys; from dms_tags.cli import main; main.main(['--help']); print('httpx' in sys.modules, 'pymongo' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert "False False" == done.stdout.splitlines()[-1]


@pytest.mark.parametrize("line", [["nosuch"], ["tag", "get"], ["token", "list", "--nosuch"], ["audit", "query", "--limit", "-1"]])
def test_a_line_that_is_not_understood(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what is wrong and where help is; the status is 2."""
    assert 2 == main.main(line)

    said = capsys.readouterr().err
    assert 1 == said.count("\n")
    assert "--help` explains" in said


def test_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever could not be reached is no refusal: the status is 2, and the line says which setting names the store."""
    monkeypatch.setenv("DMS_TAGS_MONGO_URI", f"mongodb://127.0.0.1:{free_port()}")

    assert 2 == main.main(["token", "list"])
    assert "DMS_TAGS_MONGO_URI" in capsys.readouterr().err
