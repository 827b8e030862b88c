"""`dms-tags audit query|export|verify|keygen|checkpoint|archive`: what auditors do, and those who keep the records.

The first three are HTTP clients of the service at `DMS_TAGS_URL`; `verify FILE` needs nothing but the file and a public key,
`verify --database` and the last three go to the store as the service does (API.md section 6).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from dms_tags.cli import audit_client, audit_store
from dms_tags.cli.audit_client import FILTERS


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds what can be done with the trail."""
    actions = parser.add_subparsers(required=True, metavar="query|export|verify|keygen|checkpoint|archive")

    query = _action(actions, "query", audit_client.query, "print what matches, newest first, one JSON document a line")
    _add_filters(query)
    query.add_argument("--order", choices=("asc", "desc"), default="desc")
    query.add_argument("--limit", type=int, default=100, metavar="N", help="entries at most; 0: all (default: %(default)s)")

    export = _action(actions, "export", audit_client.export, "write everything that matches to a file, with its proof")
    _add_filters(export)
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="goes on where an export to it broke off")
    export.add_argument(
        "--format", choices=("ndjson", "csv"), default="ndjson", help="csv has its manifest in FILE.manifest.json"
    )
    export.add_argument("--proofs", action="store_true", help="each line with its own proof, so that a part can be proven")

    verify = _action(
        actions, "verify", _verify, "check that nothing was altered, left out or put in; status 0, 1, or 2: could not look"
    )
    verify.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help="an NDJSON export; without one, the service is verified"
    )
    verify.add_argument("--key", metavar="KEY", help="the public key: the line itself, or a file with it")
    verify.add_argument("--checkpoint", type=Path, metavar="FILE", help="checkpoints kept outside, to hold the trail against")
    verify.add_argument("--database", action="store_true", help="verify at the store itself, as the service reaches it")
    verify.add_argument("--tenant", help="whose trail (default: default, over HTTP the token's)")

    keygen = _action(actions, "keygen", audit_store.keygen, "make the key that signs this database's checkpoints")
    keygen.add_argument("--out", type=Path, metavar="FILE", help="where (default: DMS_TAGS_SIGNING_KEY_FILE)")

    checkpoint = _action(actions, "checkpoint", audit_store.checkpoint, "sign the trail as it stands, and print the checkpoint")
    checkpoint.add_argument("--tenant", default="default", help="whose trail (default: %(default)s)")
    checkpoint.add_argument(
        "--new-origin", metavar="ORIGIN", help="begin a new line of checkpoints, after a restore or with a new key"
    )

    archive = _action(
        actions, "archive", audit_store.archive, "write the oldest entries to a file that proves them, then remove them"
    )
    archive.add_argument(
        "--before", required=True, metavar="DATE", help="entries recorded before: 2026-01-31, or a time with an offset"
    )
    archive.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new file")
    archive.add_argument("--tenant", default="default", help="whose trail (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Does what was asked for; the exit status.  Raises `CannotStart`, `TagsError`."""
    status: int = arguments.act(arguments)
    return status


def _verify(arguments: argparse.Namespace) -> int:
    if arguments.database:
        return audit_store.verify(arguments)
    return audit_client.verify(arguments)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, act: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text)
    parser.set_defaults(act=act)
    return parser


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", help="the tenant, where the service needs to be told")
    for option, (name, meaning) in FILTERS.items():
        if name == "action":
            parser.add_argument(f"--{option}", dest=name, type=int, action="append", metavar="N", help=meaning)
        else:
            parser.add_argument(f"--{option}", dest=name, metavar=option.upper().replace("-", "_"), help=meaning)
