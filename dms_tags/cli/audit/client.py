"""The audit commands that are clients of a running service, and the one that needs nothing but a file."""

from __future__ import annotations

import shutil
import stat
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import httpx

from dms_tags.audit.export import rows
from dms_tags.audit.export.manifest import manifest_beside
from dms_tags.audit.verify.download import GOES_ON, Download, Wanted
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.live import CannotLook, Remote, verify_live
from dms_tags.audit.verify.report import NOT_LOOKED, read_keys
from dms_tags.cli import output, remote, screen
from dms_tags.cli.filters import filter_options
from dms_tags.cli.rows import ENTRY_COLUMNS
from dms_tags.cli.shared import client_options, tenant
from dms_tags.errors import CannotStart, Unproven

PAGE: Final = 1000
NAMES: Final = rows.earlier_head().rstrip()
"""How tables of every version begin."""
STANDARD_OUTPUT: Final = Path("-")
COPY_BYTES: Final = 1 << 20


@click.command("query")
@filter_options
@click.option("--order", type=click.Choice(["asc", "desc"]), default="desc", show_default=True, help="By position.")
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True, metavar="N", help="Entries at most; 0: all.")
@click.option("--table", is_flag=True, help="A table for people, of the members that matter most, in place of JSON.")
@client_options
def query(filters: Mapping[str, Any], order: str, limit: int, table: bool) -> None:
    """Print what matches, newest first, one JSON document a line."""
    left = limit or sys.maxsize
    cursor: str | None = None
    complete, oldest = True, 0
    with _client() as client:
        while left:
            parameters = {**filters, "order": order, "limit": min(left, PAGE)}
            if cursor is not None:
                parameters["cursor"] = cursor
            page = Remote(client).get(f"?{httpx.QueryParams(parameters)}").json()
            if table and not screen.wants_json():
                screen.show(page["entries"], ENTRY_COLUMNS)
            else:
                for entry in page["entries"]:
                    screen.write_json(entry)
            complete, oldest = page.get("complete", True), page.get("first", 0)
            left, cursor = left - len(page["entries"]), page["next"]
            if cursor is None:
                break
    if not complete:
        screen.say(f"the trail begins at position {oldest}: what is older was archived, and may have matched too")


@click.command("export")
@filter_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="A new file, or one that an export to it broke off in: it goes on there.  -, or a pipe: all at once when it is whole.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["ndjson", "csv"]),
    default="ndjson",
    show_default=True,
    help="csv has its manifest in FILE.manifest.json.",
)
@click.option("--bom", is_flag=True, help="Begin CSV with a byte-order mark, by which Excel knows UTF-8.")
@click.option("--proofs", is_flag=True, help="Each line with its own proof, so that a part can be proven.")
@client_options
def export(filters: Mapping[str, Any], out: Path, form: str, bom: bool, proofs: bool) -> None:
    """Write everything that matches to a file, with its proof."""
    if bom and form != "csv":
        raise click.UsageError("--bom goes with --format csv.", click.get_current_context())
    wanted = Wanted(filters, form, proofs, bom)
    if out == STANDARD_OUTPUT or _is_pipe(out):
        with TemporaryDirectory(prefix="dms-tags-export-") as folder:
            manifest = _download(wanted, Path(folder) / "export", "the same command begins anew")
            _pour(Path(folder) / "export", out)
        if form == "csv":
            screen.say("the manifest of a table needs a file beside it: without one, this table cannot be verified")
    else:
        manifest = _download(wanted, out, GOES_ON)
        screen.write(
            f"{out}: {screen.counted(manifest['count'], 'entry')}, positions {manifest['first']} to {manifest['last']}\n"
        )
    if not manifest.get("complete", True):
        screen.say(
            f"the trail begins at position {manifest.get('oldest', manifest['first'])}: what is older was archived, and may have matched too"
        )
    if not manifest["head"]:
        screen.say("the trail is empty: there is nothing to prove yet")
    elif manifest["checkpoint"] is None:
        screen.say("no checkpoint covers it, since the service cannot sign: it proves nothing yet")


@click.command(
    "verify", epilog="Exit status: 0 all holds, 1 something does not, 2 it could not look, or what it saw could not be proven."
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--key", metavar="KEY", help="The public key: the line itself, or a file with it.")
@click.option(
    "--checkpoint",
    "kept_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Checkpoints kept outside, to hold the trail against.",
)
@click.option("--database", is_flag=True, help="Verify at the store itself, as the service reaches it.")
@client_options
def verify(file: Path | None, key: str | None, kept_file: Path | None, database: bool) -> int:
    """Check that nothing was altered, left out or put in: in FILE, an export; without one, at the service.

    --tenant says whose trail, over HTTP by default the token's, at the store `default`.
    """
    if database and file is not None:
        raise CannotStart("a file is verified alone: leave --database out")
    if file is not None:
        _look_at(file)
    try:
        keys = [] if key is None else read_keys(key)
        kept = None if kept_file is None else kept_file.read_text(encoding="utf-8")
        if file is not None:
            return _verify_file(file, keys, kept)
        if database:
            from dms_tags.cli.audit.store import verify_at_store  # a client loads nothing of the store

            return verify_at_store(tenant(), keys, kept)
        with _client() as client, output.bar("verifying") as progress:
            report = verify_live(client, keys, kept, progress)
        return output.tell(str(client.base_url), report)
    except BrokenPipeError:
        raise
    except (OSError, UnicodeDecodeError, Unproven) as error:
        raise CannotStart(f"cannot look: {error}") from error


def _look_at(file: Path) -> None:
    if not file.exists():
        raise CannotStart(f"cannot look: there is no file {file}")
    if file.is_dir():
        raise CannotStart(f"cannot look: {file} is a folder")


def _verify_file(file: Path, keys: list[Any], kept: str | None) -> int:
    if not keys:
        raise CannotStart("cannot look: --key is the public key to verify with, from the service's log/key or audit-signing.pub")
    if file.stat().st_size == 0:
        screen.write(f"{file}: empty, nothing was looked at\n")
        return NOT_LOOKED
    if _begins_with_names(file) and not manifest_beside(file).exists():
        raise CannotStart(f"cannot look: {manifest_beside(file)}, the manifest of this table, is not there")
    with output.bar("verifying") as progress:
        report = verify_file(file, keys, kept, progress)
    return output.tell(str(file), report)


def _begins_with_names(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(BOM_UTF8) + len(NAMES)).removeprefix(BOM_UTF8).startswith(NAMES)


def _download(wanted: Wanted, file: Path, then: str) -> Mapping[str, Any]:
    """Fetches an export, from where an earlier attempt broke off; its manifest."""
    with _client() as client, output.bar("exporting") as progress:
        return Download(client, wanted, file, progress, then).run()


def _is_pipe(file: Path) -> bool:
    """Whether the file is there and is none that keeps what is written to it: a pipe, a device."""
    return file.exists() and not (stat.S_ISREG(file.stat().st_mode) or file.is_dir())


def _pour(file: Path, out: Path) -> None:
    with file.open("rb") as source:
        if out == STANDARD_OUTPUT:
            while chunk := source.read(COPY_BYTES):
                screen.write_bytes(chunk)
        else:
            with out.open("wb") as target:
                shutil.copyfileobj(source, target, COPY_BYTES)


@contextmanager
def _client() -> Iterator[httpx.Client]:
    """A client of the service of the environment.  What keeps it from an answer is raised as `CannotStart`."""
    try:
        with remote.http_client() as client:
            yield client
    except ValueError as error:
        raise CannotStart(f"cannot look: {error}") from error
    except CannotLook as error:
        hint = ""
        if error.status == httpx.codes.UNAUTHORIZED:
            hint = f"; {remote.token_hint()}"
        elif error.status == httpx.codes.NOT_FOUND:
            hint = remote.path_hint()
        elif isinstance(error.__cause__, httpx.ConnectError):
            hint = f"{remote.proxy_hint()}; {remote.address_hint()}"
        raise CannotStart(f"{error}{hint}") from error
