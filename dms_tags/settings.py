"""Every setting, in one place, with its default and its unit.

A setting `name` comes from the environment variable `DMS_TAGS_NAME`; a secret one may come from the file that
`DMS_TAGS_NAME_FILE` names instead.  A `DMS_TAGS_*` variable that is none of these is refused at start, by name: a
misspelt setting must never silently leave a default in force (API.md section 7).
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from dms_tags.errors import CannotStart

PREFIX: Final = "DMS_TAGS_"

INJECTED: Final = re.compile(r"DMS_TAGS_(PORT|SERVICE_).*")
"""What Kubernetes puts into every pod beside a service called dms-tags; never ours."""

CLIENT_VARIABLES: Final = frozenset({"DMS_TAGS_URL", "DMS_TAGS_TOKEN", "DMS_TAGS_TOKEN_FILE"})
"""Read by the commands that are HTTP clients, not by the service."""


def _setting(default: Any, parse: Callable[[str], Any], doc: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"parse": parse, "doc": doc, "secret": secret})


def _text(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII) or not least <= int(value) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(value)

    return parse


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value

    return parse


def _flag(value: str) -> bool:
    return _one_of("true", "false")(value.lower()) == "true"


def _names(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("must be host:port, for instance 127.0.0.1:8080")
    return value


def _mongo_uri(value: str) -> str:
    if not value.startswith(("mongodb://", "mongodb+srv://", "mongomock://")):
        raise ValueError("must begin with mongodb://, mongodb+srv:// or mongomock://")
    return value


def _database_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", value, re.ASCII):
        raise ValueError("must be 1-60 of A-Z a-z 0-9 _ -")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError("must be an IANA time zone, for instance Europe/Berlin") from error
    return value


def _origin(value: str) -> str:
    if not re.fullmatch(r"https?://[^/?#\s@]+", value):
        raise ValueError("must be scheme and host, for instance https://tags.example.com, without a path or a slash behind it")
    return value


def _origins(value: str) -> tuple[str, ...]:
    return tuple(_origin(part) for part in _names(value))


def _bases(value: str) -> tuple[str, ...]:
    for base in _names(value):
        if not re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+", base):
            raise ValueError("must be paths such as /api/dms, with commas, without a slash behind them")
    return _names(value)


def _rate(value: str) -> int:
    return 0 if value == "off" else _whole(1, 1_000_000)(value)


def _networks(value: str) -> tuple[str, ...]:
    for part in _names(value):
        try:
            ipaddress.ip_network(part)
        except ValueError as error:
            raise ValueError(f"{error}; networks are such as 10.0.0.0/8 or 10.0.0.5, with commas") from error
    return _names(value)


def _http_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^/?#\s]+.*", value):
        raise ValueError("must begin with http:// or https:// and a host")
    return value


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one service; `from_environment` reads and checks them.

    Raises `CannotStart`, with one line that names the variable, for a value that does not fit.
    """

    mongo_uri: str | None = _setting(
        None,
        _mongo_uri,
        "MongoDB's address (`mongodb://`, `mongodb+srv://`, `mongomock://`); unset: a mongod of its own",
        secret=True,
    )
    database: str = _setting("dms_tags", _database_name, "name of the database")
    data: Path = _setting(Path("data"), lambda value: Path(_text(value)), "folder of the own mongod's files and its signing key")
    mongod: str | None = _setting(None, _text, "path of the mongod to start; unset: the one on the PATH or in the environment")
    bind: str = _setting("127.0.0.1:8080", _address, "host:port to listen on")
    workers: int = _setting(0, _whole(1, 256), "processes; unset: one a core")
    threads: int = _setting(0, _whole(1, 1024), "requests that a process works on at once; unset: 64")
    auth: str | None = _setting(
        None, _one_of("none", "tokens", "jwt"), "`none`, `tokens` or `jwt`; unset: `none` on a loopback address, else `tokens`"
    )
    log: str | None = _setting(None, _one_of("json", "console"), "`json` or `console`; unset: json when not a terminal")
    access_log: bool = _setting(
        False, _flag, "`true`: one line in the log for each request; refused and failed ones are logged anyway"
    )
    tracing: bool = _setting(
        False, _flag, "`true`: spans for OpenTelemetry, sent as the OTEL_* variables say; needs the extra `tracing`"
    )
    timezone: str = _setting("UTC", _zone, "whose days TODAY() and YESTERDAY() are")
    dms_bases: tuple[str, ...] = _setting(
        ("/api/dms", "/dms-core", "/api-web/api/dms"),
        _bases,
        "paths below which the DMS calls are served, with commas; /api/dms always is one",
    )
    content: str | None = _setting(
        None,
        _one_of("discard"),
        "`discard`: content that DMS clients send with an object is read and thrown away, for trying them out; unset: it is refused",
    )
    origin: str | None = _setting(
        None, _origin, "scheme and host under which clients reach the service, for links; unset: the request's own"
    )
    body_limit: int = _setting(1_000_000, _whole(1_000, 100_000_000), "largest request body, in bytes")
    rate: int = _setting(0, _rate, "requests a second that one identity may send, in each process; `off` or unset: any number")
    drain_seconds: int | None = _setting(
        None,
        _whole(0, 600),
        "seconds for which a service that is told to stop serves on, no longer ready; unset: 5, on a loopback address 0",
    )
    request_seconds: int = _setting(10, _whole(1, 600), "time a client has to send a request, in seconds")
    trusted_proxies: tuple[str, ...] = _setting((), _networks, "networks whose X-Forwarded-* headers are believed, with commas")
    metrics_token: str | None = _setting(
        None, _text, "bearer token with which Prometheus may read all of /metrics from another machine", secret=True
    )
    cors_origins: tuple[str, ...] = _setting((), _origins, "origins that browsers may call from, with commas")
    jwt_issuer: str | None = _setting(None, _text, "`iss` that a JWT must have")
    jwt_audience: str | None = _setting(None, _text, "`aud` that a JWT must have")
    jwt_jwks: str | None = _setting(None, _text, "URL or file of the issuer's key set")
    jwt_name_claim: str = _setting("sub", _text, "claim that names the actor")
    jwt_tenant_claim: str = _setting("tenant", _text, "claim that names the tenant")
    jwt_permissions_claim: str = _setting("permissions", _text, "claim with the permissions: a list, or words in one text")
    jwt_tags_claim: str = _setting("tags", _text, "claim with the tag-name prefixes, a list; absent: all names")
    signing_key_file: Path | None = _setting(
        None, lambda value: Path(_text(value)), "file of the private key that signs checkpoints"
    )
    log_origin: str | None = _setting(None, _text, "origin of the logs; a tenant's log is `<origin>/<tenant>`")
    checkpoint_seconds: int = _setting(5, _whole(1, 86_400), "time between checkpoints where there is something new, in seconds")
    seal_hours: int = _setting(
        24, _whole(0, 8_760), "time between seals of a trail where there is something new, in hours; 0: only by `audit seal`"
    )
    witness_url: str | None = _setting(None, _http_url, "URL that every checkpoint is sent to until it is taken", secret=True)
    witness_file: Path | None = _setting(None, lambda value: Path(_text(value)), "file that every checkpoint is appended to")
    webhook_networks: tuple[str, ...] = _setting(
        (), _networks, "networks that subscriptions may send into although they are not public, over http too, with commas"
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """The settings that `environment` (default: the process's own) gives."""
        environment = os.environ if environment is None else environment
        known = {PREFIX + member.name.upper(): member for member in fields(cls)}
        _refuse_unknown(environment, known)
        values = {}
        for variable, member in known.items():
            text = _value_of(environment, variable, member)
            if text is None:
                continue
            try:
                values[member.name] = member.metadata["parse"](text)
            except ValueError as error:
                shown = "" if member.metadata["secret"] else f"={text}"
                raise CannotStart(f"{variable}{shown}: {error}") from error
        return cls(**values)

    @property
    def host(self) -> str:
        """The host part of `bind`, without the brackets of an IPv6 address."""
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port part of `bind`; 0 asks for a free one."""
        return int(self.bind.rpartition(":")[2])

    @property
    def on_loopback(self) -> bool:
        """Whether the service listens on a loopback address only."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def authentication(self) -> str:
        """`none`, `tokens` or `jwt`.  Raises `CannotStart` for `none` on an address that others can reach."""
        chosen = self.auth or ("none" if self.on_loopback else "tokens")
        if chosen == "none" and not self.on_loopback:
            raise CannotStart(
                f"DMS_TAGS_AUTH=none would let anyone who reaches {self.bind} change every tag: "
                "bind to 127.0.0.1, or use DMS_TAGS_AUTH=tokens or jwt"
            )
        return chosen

    @property
    def drain(self) -> int:
        """Seconds from being told to stop until nothing new is taken any more."""
        if self.drain_seconds is not None:
            return self.drain_seconds
        return 0 if self.on_loopback else 5

    @property
    def in_memory(self) -> bool:
        """Whether the store is mongomock's, of which nothing survives the process."""
        return (self.mongo_uri or "").startswith("mongomock://")

    @property
    def processes(self) -> int:
        """Worker processes to run: mongomock lives in one process, so always one there."""
        return 1 if self.in_memory else self.workers or _cores()

    @property
    def concurrency(self) -> int:
        """Requests that one process works on at once."""
        return self.threads or 64

    @property
    def log_format(self) -> str:
        """`json` or `console`."""
        return self.log or ("console" if sys.stderr.isatty() else "json")


def settings_table() -> list[tuple[str, str, str]]:
    """Each setting's variable, default and meaning, for the README and `dms-tags settings`."""
    return [(PREFIX + member.name.upper(), _shown(member), member.metadata["doc"]) for member in fields(Settings)]


def _shown(member: Field[Any]) -> str:
    default = member.default
    if isinstance(default, tuple) and default:
        return ",".join(default)
    return "unset" if default in (None, (), 0) else str(default)


def _refuse_unknown(environment: Mapping[str, str], known: Mapping[str, Field[Any]]) -> None:
    names = set(known) | CLIENT_VARIABLES | {f"{name}_FILE" for name, member in known.items() if member.metadata["secret"]}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable in names or INJECTED.fullmatch(variable):
            continue
        near = difflib.get_close_matches(variable, names, n=1, cutoff=0.0)[0]
        raise CannotStart(f"{variable} is no setting of dms-tags; the nearest is {near}")


def _value_of(environment: Mapping[str, str], variable: str, member: Field[Any]) -> str | None:
    direct = environment.get(variable)
    file = environment.get(f"{variable}_FILE") if member.metadata["secret"] else None
    if direct is not None and file is not None:
        raise CannotStart(f"{variable} and {variable}_FILE are both set: keep one")
    if file is None:
        return direct
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"{variable}_FILE={file}: cannot be read: {error}") from error
