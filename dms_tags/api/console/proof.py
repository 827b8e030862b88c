"""Proof: an entry's inclusion proof, drawn; the verifier that runs in the browser, as a page and as a file; and the assets."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from flask import Response
from markupsafe import Markup

from dms_tags.api.console import charts
from dms_tags.api.console.api import ASSETS, LEADS, PAGE, SECURITY_HEADERS, api, html, page
from dms_tags.api.dms.audit import prove
from dms_tags.api.endpoint import IDENTIFIED, PUBLIC, Call, PathParameter
from dms_tags.api.parameters import integer
from dms_tags.audit.log import merkle
from dms_tags.errors import Gone, NotFound
from dms_tags.identity.model import Permission
from dms_tags.version import __version__

TYPES: Final[Mapping[str, str]] = {"css": "text/css", "js": "text/javascript"}
ASSET: Final[Mapping[str, Any]] = {
    "description": "What the pages are made with",
    "content": {media_type: {"schema": {"type": "string"}} for media_type in TYPES.values()},
}
MISSING: Final = {"description": "There is no such part", "content": {"text/html": {"schema": {"type": "string"}}}}
PAGE_STYLE: Final = files("dms_tags") / "api" / "operation" / "assets" / "page.css"
MODULES: Final = (
    "bytes",
    "sha256",
    "json",
    "merkle",
    "note",
    "values",
    "report",
    "manifest",
    "examiner",
    "leaf",
    "lines",
    "seals",
    "verify",
    "page",
)
"""The modules of the verifier, each after those that it rests on."""

_imports = re.compile(r"^import .*?;\n", re.MULTILINE | re.DOTALL)
_exports = re.compile(r"^export (?=(?:async )?function|class|const)", re.MULTILINE)


@api.route(
    "GET",
    "/proof",
    permission=Permission.AUDIT,
    parameters=(integer("position", 1, 10**15 - 1, "the entry to prove"),),
    responses={200: PAGE, 303: LEADS, 404: PAGE, 410: PAGE},
)
def proof(call: Call) -> Response:
    """The proof that an entry is in the signed log, drawn."""
    position = call.arguments["position"]
    if position is None:
        return page("proof.html", position=None, problem=None, proof=None)
    try:
        told = prove(call, position)
    except (NotFound, Gone) as error:
        status = 410 if isinstance(error, Gone) else 404
        return page("proof.html", status=status, position=position, problem=error.detail, proof=None)
    hashes = hashes_of(told)
    identity = call.services.checkpointer.identities.current()
    return page(
        "proof.html",
        position=position,
        problem=None,
        proof=told,
        rungs=charts.ladder(told, hashes),
        root_hash=hashes[-1].hex(),
        key=None if identity is None else str(identity.verifier(call.identity.tenant)),
    )


def hashes_of(told: Mapping[str, Any]) -> list[bytes]:
    """The hashes on the way from the leaf, the first, to the root, the last (RFC 9162, 2.1.3.2)."""
    index, last = told["index"], told["size"] - 1
    hashes = [b64decode(told["leafHash"])]
    for text in told["proof"]:
        sibling = b64decode(text)
        if index & 1 or index == last:
            hashes.append(merkle.node_hash(sibling, hashes[-1]))
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            hashes.append(merkle.node_hash(hashes[-1], sibling))
        index >>= 1
        last >>= 1
    return hashes


@api.route("GET", "/verify", permission=IDENTIFIED, responses={200: PAGE, 303: LEADS})
def verify(call: Call) -> Response:
    """Verifies an exported file in the browser; nothing is sent anywhere."""
    return page("verify.html", key=_key(call))


@api.route("GET", "/verifier.html", permission=IDENTIFIED, responses={200: PAGE, 303: LEADS})
def verifier(call: Call) -> Response:
    """The verifier as one file, which works without a service and without a network."""
    style = "\n".join(file.read_text(encoding="utf-8") for file in (PAGE_STYLE, ASSETS / "console.css"))
    script = bundle()
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; base-uri 'none'; form-action 'none'"
    )
    parts = {"style": Markup(style), "script": Markup(script)}  # noqa: S704 - our own files
    text = html("verifier.html", **parts, policy=policy, key=_key(call), version=__version__)
    response = Response(text, mimetype="text/html")
    response.headers.update({**SECURITY_HEADERS, "Content-Security-Policy": policy + "; frame-ancestors 'none'"})
    response.headers["Content-Disposition"] = 'attachment; filename="dms-tags-verifier.html"'
    return response


def _key(call: Call) -> str:
    identity = call.services.checkpointer.identities.current()
    return "" if identity is None else str(identity.verifier(call.identity.tenant))


@cache
def bundle() -> str:
    """The verifier's modules as one: each follows those that it rests on, and no two of them give a name to two things."""
    return "\n".join(_bare(name) for name in MODULES)


def _bare(name: str) -> str:
    text = (ASSETS / "verify" / f"{name}.js").read_text(encoding="utf-8")
    return _exports.sub("", _imports.sub("", text))


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


@cache
def assets() -> Mapping[str, bytes]:
    """Everything that pages load, by its path."""
    return dict(_files())


def _files(below: str = "") -> Iterator[tuple[str, bytes]]:
    for file in (ASSETS / below).iterdir() if below else ASSETS.iterdir():
        path = f"{below}{file.name}"
        if file.is_dir():
            yield from _files(f"{path}/")
        elif path.rpartition(".")[2] in TYPES:
            yield path, file.read_bytes()


ASSET_NAME: Final = PathParameter(str, {"type": "string"}, "console.css", spans=True)


@api.route(
    "GET", "/assets/{asset}", permission=PUBLIC, path_parameters={"asset": ASSET_NAME}, responses={200: ASSET, 404: MISSING}
)
def asset(_: Call, asset: str) -> Response:
    """What the pages are made with."""
    content = assets().get(asset)
    if content is None:
        raise NotFound("the console is made with no such file")
    etag = sha256(content).hexdigest()[:16]
    response = Response(content, mimetype=TYPES[asset.rpartition(".")[2]])
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(etag)
    return response
