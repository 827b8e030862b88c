"""Subscriptions in MongoDB: each is the one tag of a resource of its own, so that who changed it is in the trail.

    subscription_secrets   { _id: <secret's id>, tenant, name, value, at }
    subscription_cursors   { _id: "<tenant>/<name>", tenant, start, position, delivered, … }

The tag names its secrets by id.  A secret is written before the tag names it: one that no tag names signs nothing, and goes
when the next one is made or the subscription is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from dms_tags.audit.trail.trail import Trail
from dms_tags.errors import (
    Gone,
    InUse,
    InvalidBody,
    InvalidParameter,
    NotFound,
    RevisionMismatch,
    StoreUnavailable,
    TagExists,
    TagNotFound,
)
from dms_tags.model import Actor, Changed, Conditions, Kind, Resource, Terms, Verb, new_id
from dms_tags.store.database import Database, store_errors
from dms_tags.subscriptions import signing
from dms_tags.subscriptions.cursors import Cursors
from dms_tags.subscriptions.model import MAX_SUBSCRIPTIONS, Order, SecretRef, Standing, Subscription
from dms_tags.tags.store import TagStore

TAG: Final = "subscription"
"""The name of the one tag of a subscription's resource; its state is the subscription."""

OVERLAP: Final = timedelta(hours=1)
"""For so long a secret signs beside its successor."""

MOST_SECRETS: Final = 8
"""Secrets that sign at once, at most; each delivery carries a signature of each."""

NAMED_WITHIN: Final = timedelta(minutes=1)
"""A secret that no tag names after so long never will be: the call that made it has ended, or has died."""

TRIES: Final = 5

SENDER: Final = Actor("system:subscriptions", "system")
"""Who pauses what cannot be delivered."""


class Subscriptions:
    """The subscriptions of all tenants.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database, store: TagStore) -> None:
        self._database = database
        self._store = store
        self._trail = Trail(database)
        self._secrets = database.collection("subscription_secrets")
        self._cursors = Cursors(database)

    def put(self, tenant: str, name: str, order: Order, terms: Terms) -> tuple[Changed, Standing, bytes | None]:
        """Makes or changes a subscription, recorded in the trail.

        Returns how it then stands, and its secret where it is new, which nobody can read again.

        Raises `InvalidBody` and `Gone` for a position to begin at that the trail has not reached or no longer has, `InUse` where
        there are too many, `RevisionMismatch`, `TraceMismatch`.
        """
        if order.after is not None:
            self._check_reach(tenant, order.after)
        for _ in range(TRIES):
            standing = self._tagged(tenant, name)
            try:
                if standing is None:
                    return self._make(tenant, name, order, terms)
                changed, revised = self._revise(standing, _changed(standing, order), terms)
                return changed, self._standings([revised])[0], None
            except (TagExists, TagNotFound):
                continue  # made or removed meanwhile
            except RevisionMismatch:
                if terms.conditions.etags is not None or terms.conditions.absent or terms.conditions.present:
                    raise _not_as_demanded(name, terms) from None
        raise StoreUnavailable(f"too many writers on {_resource(tenant, name).name} at once; nothing was changed")

    def new_secret(self, tenant: str, name: str, terms: Terms) -> tuple[Changed, bytes]:
        """Gives a subscription a new secret; those before sign beside it for an hour.  Raises `NotFound`, `RevisionMismatch`."""
        for _ in range(TRIES):
            standing = self._standing(tenant, name)
            moment = self._database.clock.now()
            secret_id, secret = new_id(), signing.new_secret()
            self._keep(secret_id, tenant, name, secret)
            before = [
                SecretRef(each.id, each.until or moment + OVERLAP)
                for each in standing.secrets
                if each.until is None or each.until > moment
            ]
            renewed = replace(standing, secrets=(SecretRef(secret_id), *before[: MOST_SECRETS - 1]))
            try:
                changed, _ = self._revise(standing, renewed, terms)
            except (RevisionMismatch, TagNotFound):
                self._forget(tenant, name, [secret_id])
                if terms.conditions.etags is not None or terms.conditions.absent:
                    raise _not_as_demanded(name, terms) from None
                continue
            signing_still = {each.id for each in renewed.secrets}
            self._forget(tenant, name, [each.id for each in standing.secrets if each.id not in signing_still])
            return changed, secret
        raise StoreUnavailable(f"too many writers on {_resource(tenant, name).name} at once; nothing was changed")

    def delete(self, tenant: str, name: str, terms: Terms) -> Changed:
        """Removes a subscription, its secrets and its cursor; recorded in the trail.  Raises `NotFound`, `RevisionMismatch`."""
        try:
            standing = self._standing(tenant, name)
            changed = self._store.change(terms.change(_resource(tenant, name), TAG, Verb.DELETE))
        except (NotFound, TagNotFound) as error:
            self._forget(tenant, name)  # what a removal that was cut off has left
            raise _none(name) from error
        except RevisionMismatch as error:
            raise _not_as_demanded(name, terms) from error
        self._forget(tenant, name, [secret.id for secret in standing.secrets])
        self._cursors.forget(standing)
        return changed

    def pause(self, subscription: Subscription, reason: str) -> None:
        """Pauses a subscription that the service cannot go on with, recorded in the trail, unless it was changed meanwhile."""
        terms = Terms(SENDER, conditions=Conditions(etags=(subscription.etag,)))
        paused = replace(subscription, paused=True, reason=reason)
        with suppress(TagNotFound, RevisionMismatch):
            self._store.change(terms.change(_resource(subscription.tenant, subscription.name), TAG, Verb.UPDATE, paused.state()))

    def get(self, tenant: str, name: str) -> Standing:
        """One subscription, as it stands.  Raises `NotFound`."""
        return self._standings([self._standing(tenant, name)])[0]

    def all(self, tenant: str) -> list[Standing]:
        """The subscriptions of a tenant, as they stand, in order of name."""
        return self._standings(self._of_tenant(tenant))

    def every(self) -> list[Subscription]:
        """The subscriptions of all tenants, in order of tenant and name."""
        with store_errors():
            keys = {_resource(kept["tenant"], kept["name"]).key for kept in self._secrets.find({}, {"tenant": 1, "name": 1})}
        return self._read({"_id": {"$in": sorted(keys)}})

    def any(self) -> bool:
        """Whether there may be a subscription at all; asked again and again, so at the least price."""
        with store_errors():
            return self._secrets.find_one({}, {"_id": 1}) is not None

    def standings(self, most: int) -> tuple[list[Standing], int]:
        """How the first `most` subscriptions of all tenants stand, and how many are left out."""
        every = self.every()
        return self._standings(every[:most]), max(0, len(every) - most)

    def secrets_of(self, subscriptions: Iterable[Subscription], moment: datetime) -> Mapping[str, tuple[bytes, ...]]:
        """The secrets that sign at a moment, the newest first, by the key of the subscription."""
        valid = {
            each.key: [secret.id for secret in each.secrets if secret.until is None or secret.until > moment]
            for each in subscriptions
        }
        with store_errors():
            kept = self._secrets.find({"_id": {"$in": [each for ids in valid.values() for each in ids]}})
            values = {document["_id"]: bytes(document["value"]) for document in kept}
        return {key: tuple(values[each] for each in ids if each in values) for key, ids in valid.items()}

    def _make(self, tenant: str, name: str, order: Order, terms: Terms) -> tuple[Changed, Standing, bytes]:
        if terms.conditions.etags is not None or terms.conditions.present:
            raise RevisionMismatch(f"there is no subscription {name!r}, whichever If-Match names; nothing was changed")
        if len(self._of_tenant(tenant)) >= MAX_SUBSCRIPTIONS:
            raise InUse(f"{tenant} has {MAX_SUBSCRIPTIONS} subscriptions, which is the most; delete one first")
        after = self._trail.head(tenant) if order.after is None else order.after
        secret_id, secret = new_id(), signing.new_secret()
        made = Subscription(
            tenant,
            name,
            order.url,
            order.selection,
            order.proofs,
            order.paused,
            None,
            after,
            new_id(),
            (SecretRef(secret_id),),
        )
        (standing,) = self._standings([made])  # before anything is made: what fails afterwards would lose the secret
        self._keep(secret_id, tenant, name, secret)
        try:
            changed = self._store.change(terms.change(_resource(tenant, name), TAG, Verb.ADD, made.state()))
        except TagExists:
            self._forget(tenant, name, [secret_id])
            raise
        self._forget(tenant, name)
        return changed, replace(standing, subscription=_as_changed(made, changed)), secret

    def _revise(self, standing: Subscription, wanted: Subscription, terms: Terms) -> tuple[Changed, Subscription]:
        """Puts `wanted` in place of what was read, if that still stands and is what the terms demand."""
        conditions = terms.conditions
        if conditions.etags is not None and standing.etag not in conditions.etags:
            raise RevisionMismatch("the subscription is another one")
        kept = replace(terms, conditions=replace(conditions, etags=(standing.etag,)))
        of = _resource(standing.tenant, standing.name)
        changed = self._store.change(kept.change(of, TAG, Verb.UPDATE, wanted.state()))
        return changed, _as_changed(wanted, changed)

    def _check_reach(self, tenant: str, after: int) -> None:
        head, cut = self._trail.head(tenant), self._trail.cut(tenant)
        if after > head:
            raise InvalidBody(f"after: the position {after} is beyond the trail, which reaches to {head}", "after")
        if after < cut:
            raise Gone(f"the entries up to {cut} were archived; the trail now begins at position {cut + 1}", cut + 1)

    def _standings(self, subscriptions: list[Subscription]) -> list[Standing]:
        cursors = self._cursors.of(subscriptions)
        moment = self._database.clock.now()
        heads = {tenant: self._trail.head(tenant) for tenant in {each.tenant for each in subscriptions}}
        standings = []
        for each in subscriptions:
            cursor = cursors[each.key]
            lag = max(0, heads[each.tenant] - cursor.position)
            following = self._trail.run(each.tenant, cursor.position, cursor.position + 1) if lag else []
            age = max(0.0, (moment - following[0]["recordedAt"]).total_seconds()) if following else 0.0
            standings.append(Standing(each, cursor, lag, age))
        return standings

    def _standing(self, tenant: str, name: str) -> Subscription:
        subscription = self._tagged(tenant, name)
        if subscription is None:
            raise _none(name)
        return subscription

    def _tagged(self, tenant: str, name: str) -> Subscription | None:
        for tag in self._store.read(_resource(tenant, name), TAG):
            return Subscription.of(tenant, name, tag.state, tag.etag)
        return None

    def _of_tenant(self, tenant: str) -> list[Subscription]:
        return self._read({"tenant": tenant, "kind": str(Kind.SUBSCRIPTION), "tags": {"$elemMatch": {"name": TAG}}})

    def _read(self, query: Mapping[str, Any]) -> list[Subscription]:
        with store_errors():
            documents = list(self._database.tags.find(query, {"tenant": 1, "id": 1, "tags": 1}, sort=[("_id", 1)]))
        return [
            Subscription.of(document["tenant"], document["id"], row["state"], row["etag"])
            for document in documents
            for row in document["tags"]
            if row["name"] == TAG
        ]

    def _keep(self, secret_id: str, tenant: str, name: str, secret: bytes) -> None:
        document = {"_id": secret_id, "tenant": tenant, "name": name, "value": secret, "at": self._database.clock.now()}
        with store_errors():
            self._secrets.insert_one(document)

    def _forget(self, tenant: str, name: str, outlived: Iterable[str] = ()) -> None:
        """Removes the secrets that are `outlived`, and those that calls which were cut off have left.

        Whatever fails here is left to the next call: the change itself is made.
        """
        of_name = {"tenant": tenant, "name": name}
        long_ago = {"$lt": self._database.clock.now() - NAMED_WITHIN}
        with suppress(StoreUnavailable), store_errors():
            tagged = self._tagged(tenant, name)
            named = [] if tagged is None else [each.id for each in tagged.secrets]
            left = {"_id": {"$nin": named}, "$or": [{"at": {"$exists": False}}, {"at": long_ago}]}
            self._secrets.delete_many({**of_name, "$or": [{"_id": {"$in": list(outlived)}}, left]})


def _changed(standing: Subscription, order: Order) -> Subscription:
    changed = replace(standing, url=order.url, selection=order.selection, proofs=order.proofs, paused=order.paused, reason=None)
    return changed if order.after is None else replace(changed, after=order.after, start=new_id())


def _as_changed(wanted: Subscription, changed: Changed) -> Subscription:
    return wanted if changed.tag is None else replace(wanted, etag=changed.tag.etag)


def _resource(tenant: str, name: str) -> Resource:
    return Resource(tenant, Kind.SUBSCRIPTION, name)


def _none(name: str) -> NotFound:
    return NotFound(f"there is no subscription {name!r}")


def _not_as_demanded(name: str, terms: Terms) -> RevisionMismatch:
    if terms.conditions.absent:
        return RevisionMismatch(f"there is a subscription {name!r} already; nothing was changed")
    return RevisionMismatch(f"the subscription {name!r} is not the one that If-Match names; nothing was changed")


def subscription_name(text: str) -> str:
    """`text`, if a subscription may be called so; else `InvalidParameter`."""
    if not text.isascii() or not 1 <= len(text) <= 64 or not text[0].isalnum() or set(text) - _NAME:
        raise InvalidParameter("a subscription's name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or a digit")
    return text


_NAME: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
