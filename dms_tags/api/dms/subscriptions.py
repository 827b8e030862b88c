"""`/api/dms/subscriptions` (API.md section 9)."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Final

from flask import Response
from marshmallow import ValidationError

from dms_tags import names
from dms_tags.api import headers, locks
from dms_tags.api.answers import empty_answer, json_answer, stamp
from dms_tags.api.dms.api import api
from dms_tags.api.endpoint import Call, PathParameter
from dms_tags.api.members import Body, Each, Flag, Text, Whole
from dms_tags.errors import Forbidden, InvalidTagName
from dms_tags.identity.model import Identity, Permission
from dms_tags.names import MAX_STATE, MIN_STATE, spell_time
from dms_tags.subscriptions import signing
from dms_tags.subscriptions.model import MAX_LISTED, Order, Selection, Standing
from dms_tags.subscriptions.networks import MAX_URL
from dms_tags.subscriptions.store import subscription_name

MAX_POSITION: Final = 10**15 - 1
HEADERS: Final = (headers.TRACE_HEADER, "If-Match", "If-None-Match")
"""No `Idempotency-Key`: a repeated answer would have to give a secret out again."""

NAME: Final = {
    "name": PathParameter(subscription_name, {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}, "siem")
}

_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "string", "format": "date-time", "nullable": True}
_POSITION: Final = {"type": "integer", "minimum": 0}
_MAYBE: Final = {"type": "string", "nullable": True}

SUBSCRIPTION: Final = {
    "type": "object",
    "required": ["name", "url", "proofs", "after", "paused", "etag", "state"],
    "properties": {
        "name": _TEXT,
        "url": _TEXT,
        "names": {"type": "array", "items": _TEXT},
        "states": {"type": "array", "items": {"type": "integer"}},
        "actions": {"type": "array", "items": {"type": "integer"}},
        "proofs": {"type": "boolean"},
        "after": {**_POSITION, "description": "the position up to which everything was taken, or is not asked for"},
        "paused": {"type": "boolean"},
        "etag": {**_TEXT, "description": "for If-Match"},
        "state": {
            "type": "object",
            "properties": {
                "lag": _POSITION,
                "lagSeconds": {"type": "number"},
                "delivered": {**_POSITION, "nullable": True},
                "deliveredAt": _TIME,
                "failures": _POSITION,
                "failingSince": _TIME,
                "nextAttempt": _TIME,
                "error": _MAYBE,
                "pausedReason": _MAYBE,
            },
        },
        "secret": {**_TEXT, "description": "only in the answer that made the subscription"},
    },
}
SUBSCRIPTIONS: Final = {
    "type": "object",
    "required": ["subscriptions"],
    "properties": {"subscriptions": {"type": "array", "items": SUBSCRIPTION}},
}
SECRET: Final = {"type": "object", "required": ["secret"], "properties": {"secret": {**_TEXT, "pattern": "^whsec_"}}}

route = partial(api.route, section="subscriptions", permission=Permission.ADMIN)


def _name(text: str) -> str:
    try:
        return names.tag_name(text)
    except InvalidTagName as error:
        raise ValidationError(error.detail) from error


class SubscriptionBody(Body):
    """Where events are sent, and which."""

    EXAMPLE: ClassVar = {"url": "https://siem.example.com/hook", "names": ["ocr"], "states": [3], "actions": [310]}

    url = Text(1, MAX_URL, required=True)
    names = Each(Text(parse=_name), MAX_LISTED, load_default=None)
    states = Each(Whole(MIN_STATE, MAX_STATE), MAX_LISTED, load_default=None)
    actions = Each(Whole(110, 310), MAX_LISTED, load_default=None)
    proofs = Flag(load_default=False)
    after = Whole(0, MAX_POSITION, load_default=None)
    paused = Flag(load_default=False)


@route("GET", "/subscriptions", responses={200: SUBSCRIPTIONS})
def list_subscriptions(call: Call) -> Response:
    """All subscriptions, and how far each is."""
    return json_answer({"subscriptions": [document_of(each) for each in call.services.subscriptions.all(call.identity.tenant)]})


@route("GET", "/subscriptions/{name}", path_parameters=NAME, responses={200: SUBSCRIPTION})
def read_subscription(call: Call, name: str) -> Response:
    """One subscription, and how far it is."""
    return json_answer(document_of(call.services.subscriptions.get(call.identity.tenant, name)))


@route(
    "PUT",
    "/subscriptions/{name}",
    path_parameters=NAME,
    body=SubscriptionBody(),
    responses={200: SUBSCRIPTION},
    headers=HEADERS,
)
def write_subscription(call: Call, name: str) -> Response:
    """Make or change a subscription; the first answer has its secret, which nobody can read again.

    Each event is a POST of a CloudEvents 1.0 document with the headers of Standard Webhooks, in order of position, at least once.
    """
    changed, standing, secret = call.services.subscriptions.put(call.identity.tenant, name, _order(call), locks.terms(call))
    shown = document_of(standing)
    if secret is not None:
        shown["secret"] = signing.spell(secret)
    return stamp(json_answer(shown), changed)


@route(
    "DELETE",
    "/subscriptions/{name}",
    path_parameters=NAME,
    responses={200: {"description": "The subscription is removed; the body is empty."}},
    headers=HEADERS,
)
def delete_subscription(call: Call, name: str) -> Response:
    """Remove a subscription, its secret and its place in the trail."""
    return stamp(empty_answer(), call.services.subscriptions.delete(call.identity.tenant, name, locks.terms(call)))


@route("POST", "/subscriptions/{name}/secret", path_parameters=NAME, responses={200: SECRET}, headers=HEADERS)
def renew_secret(call: Call, name: str) -> Response:
    """Give a subscription a new secret; the one before signs beside it for an hour."""
    changed, secret = call.services.subscriptions.new_secret(call.identity.tenant, name, locks.terms(call))
    return stamp(json_answer({"secret": signing.spell(secret)}), changed)


def _order(call: Call) -> Order:
    given = call.body()
    lists = (None if given[member] is None else tuple(given[member]) for member in ("names", "states", "actions"))
    _require_names(call.identity, given["names"])
    url = call.services.webhook_networks.check(given["url"])
    return Order(url, Selection(*lists), given["proofs"], given["after"], given["paused"])


def _require_names(identity: Identity, chosen: list[str] | None) -> None:
    """Raises `Forbidden` where the identity's reading is limited to some names and the subscription is not."""
    if identity.read_prefixes is None:
        return
    if chosen is None:
        raise Forbidden(f"this identity reads tags that begin with {', '.join(identity.read_prefixes)} only: give names")
    for name in chosen:
        if not identity.covers(Permission.READ, name):
            raise Forbidden(f"the permission {Permission.READ} does not cover tags called {name!r}")


def document_of(standing: Standing) -> dict[str, Any]:
    """A subscription as it goes over the wire; lists that were not given are left out."""
    subscription, cursor = standing.subscription, standing.cursor
    chosen = subscription.selection
    lists = {"names": chosen.names, "states": chosen.states, "actions": chosen.actions}
    return {
        "name": subscription.name,
        "url": subscription.url,
        **{member: list(values) for member, values in lists.items() if values is not None},
        "proofs": subscription.proofs,
        "after": cursor.position,
        "paused": subscription.paused,
        "etag": subscription.etag,
        "state": {
            "lag": standing.lag,
            "lagSeconds": round(standing.lag_seconds, 3),
            "delivered": cursor.delivered,
            "deliveredAt": _time(cursor.delivered_at),
            "failures": cursor.failures,
            "failingSince": _time(cursor.failing_since),
            "nextAttempt": _time(cursor.next_at),
            "error": cursor.error,
            "pausedReason": subscription.reason,
        },
    }


def _time(moment: Any) -> str | None:
    return None if moment is None else spell_time(moment)
