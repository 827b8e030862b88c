"""What the chain tags API speaks of: chains, their tags, and who may do what to them.

Nothing in here knows HTTP or MongoDB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from dms_tags.model import Actor, Kind, Resource, Tag

MAX_ID: Final = 10**15 - 1
"""Ids of chains and tags, at most: whole numbers that JSON carries everywhere without loss."""

MAX_VALUE: Final = 255
MAX_MODEL_CLASS: Final = 64


MAX_IDENTIFIER: Final = 128
MAX_USER_TAGS: Final = 200
"""Tags on one user, at most."""


class Identifier(StrEnum):
    """What a chain knows its users by; each kind names users of its own."""

    USER_ID = "user_id"
    ENTITY_CODE = "entity_code"
    EMAIL_ADDRESS = "email_address"
    PHONE_NUMBER = "phone_number"
    MEMBER_NUMBER = "member_number"
    AUTHENTICATION_POINT = "authentication_point_identifier"


class Access(StrEnum):
    """What a session may do to the tags of a chain."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain, as its tags show it; the contact fields may be unknown."""

    id: int
    name: str
    email: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """An administrator's session: `digest` proves its key, `chains` says what it may do to which chains."""

    id: str
    tenant: str
    user: str
    digest: bytes
    chains: Mapping[int, frozenset[Access]]
    expires: datetime

    @property
    def actor(self) -> Actor:
        """Who the trail says it was."""
        return Actor(self.user, "session")

    def may(self, access: Access, chain_id: int) -> bool:
        """Whether it has the access to the chain."""
        return access in self.chains.get(chain_id, ())

    def may_somewhere(self, access: Access) -> bool:
        """Whether it has the access to any chain."""
        return any(access in granted for granted in self.chains.values())


@dataclass(frozen=True, slots=True)
class ChainTag:
    """A tag of a chain: the state of its one `tag`, and what it was made with."""

    id: int
    chain: Chain
    model_class: str
    tag: Tag

    @property
    def state(self) -> Mapping[str, Any]:
        """`value`, `active` and `deleted`."""
        state: Mapping[str, Any] = self.tag.state
        return state


@dataclass(frozen=True, slots=True)
class ChainUser:
    """A user of a chain, by one of its identifiers; the value of a `user_id` is a whole number, of the others a text."""

    chain: int
    identifier: Identifier
    value: int | str

    def resource(self, tenant: str) -> Resource:
        """What the user's tags hang on."""
        return Resource(tenant, Kind.CHAIN_USER, self.id, within=within(self.chain))

    @property
    def id(self) -> str:
        """Chain, kind of identifier and its value, as the trail spells a user."""
        return f"{self.chain}.{self.identifier}.{self.value}"

    @classmethod
    def of(cls, user_id: str) -> ChainUser:
        """The user of an `id`."""
        chain, kind, value = user_id.split(".", 2)
        identifier = Identifier(kind)
        return cls(int(chain), identifier, int(value) if identifier is Identifier.USER_ID else value)


@dataclass(frozen=True, slots=True)
class UserTag:
    """A chain's tag that is set on a user; `mark` tells since when, in which trace, and its ETag."""

    tag: ChainTag
    mark: Tag


def mark(tag_id: int) -> str:
    """How a user's tag is called: by the chain's tag that it stands for."""
    return f"{Kind.CHAIN_TAG}/{tag_id}"


def marked(name: str) -> int:
    """The id of the chain's tag that a user's tag stands for."""
    return int(name.partition("/")[2])


def state(value: str, *, active: bool, deleted: bool = False) -> dict[str, Any]:
    """A chain tag's state, as the trail shows it."""
    return {"value": value, "active": active, "deleted": deleted}


def resource(tenant: str, tag_id: int, chain_id: int | None = None, model_class: str = "") -> Resource:
    """The resource of a chain tag; chain and model class are kept from its making on."""
    if chain_id is None:
        return Resource(tenant, Kind.CHAIN_TAG, str(tag_id))
    attributes = {"chain": chain_id, "model_class": model_class, "order": tag_id}
    return Resource(tenant, Kind.CHAIN_TAG, str(tag_id), within=within(chain_id), attributes=attributes)


def within(chain_id: int) -> str:
    """What a chain's tags belong to, as the audit trail spells it."""
    return f"{Kind.CHAIN}/{chain_id}"
