"""What a call comes to for an object as it was read: the steps to take, or the reason for none.

A judgement makes no change.  Its steps are written under the `seq` that the object was read with, which every change moves, so that
what was judged still holds in the write; each tag is judged as if it were changed alone (`tags/refusals.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dms_tags.errors import RevisionMismatch, TooManyTags
from dms_tags.model import MAX_TAGS, Change, Conditions, Properties, Tag, Terms, Verb
from dms_tags.objects.model import NOTHING_TOLD, Asked, Manner, never_heard_of, whole_etag
from dms_tags.store.documents import Document, tag_of, told_of
from dms_tags.tags import refusals


@dataclass(frozen=True, slots=True)
class Step:
    """The change of one tag, as an add, an update or a removal of `tag`."""

    change: Change
    verb: Verb
    tag: Tag | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The steps, removals first, and what is told of the object from now on, None: nothing is."""

    steps: tuple[Step, ...]
    told: Properties | None


Ruled = Callable[[Change], Change]
"""Adds to a change what its tag's definition demands."""


def touched(asked: Asked, document: Document | None) -> list[Tag]:
    """The tags that are there and that the call names or takes away."""
    named = {name for name, _ in asked.rows}
    tags = map(tag_of, () if document is None else document["tags"])
    return [tag for tag in tags if tag.name in named or asked.manner.takes_away(tag.name)]


def judge(asked: Sequence[Asked], terms: Terms, documents: Mapping[str, Document], ruled: Ruled) -> list[Judgement]:
    """What a call comes to for each of its objects; `documents` are those that are there, by `_id`.

    Raises what changes of single tags raise, of the conditions that do not hold the first: trace, revision, then the rules of the
    tags' definitions; `TooManyTags` where an object would have too many; `ObjectNotFound` where there is nothing to make of one
    that never was.
    """
    each = [(one_object, documents.get(one_object.resource.key)) for one_object in asked]
    matched = [_matched(one_object, document, terms) for one_object, document in each]
    _require_listed(terms.conditions, [document for _, document in each if document is not None], each)
    return [
        Judgement(tuple(_ruled_steps(one_object, steps, document, ruled)), _told(one_object, document))
        for (one_object, document), steps in zip(each, matched, strict=True)
    ]


def _matched(asked: Asked, document: Document | None, terms: Terms) -> list[Step]:
    """The steps whose tags' trace ids and presence are as the call demands; rows that have their state already are left out."""
    there = {tag.name: tag for tag in touched(asked, document)}
    _require_known(asked, document)
    if asked.manner is Manner.MAKE and terms.conditions.absent and document is not None and told_of(document):
        raise RevisionMismatch(f"{asked.resource.name} is known already: If-None-Match: * does not hold; nothing was changed")
    # A list of entity tags is for all that the call touches, not for each of them; its key is for the whole
    wanted = terms.conditions
    if wanted.etags is not None or asked.as_one:
        wanted = replace(wanted, etags=None, present=False)
    each = replace(terms, conditions=wanted, idempotency=None)
    named = {name for name, _ in asked.rows}
    steps = []
    for tag in there.values():
        if tag.name not in named:
            change = refusals.conditions(each.change(asked.resource, tag.name, Verb.DELETE), tag)
            steps.append(Step(change, Verb.DELETE, tag))
    for name, state in asked.rows:
        standing = there.get(name)
        change = refusals.conditions(each.change(asked.resource, name, Verb.SET, state), standing)
        if standing is None or standing.state != state:
            steps.append(Step(change, Verb.ADD if standing is None else Verb.UPDATE, standing))
    return steps


def _require_known(asked: Asked, document: Document | None) -> None:
    nothing = document is None or (asked.as_one and not document["tags"])  # what is nothing but its tags is gone with them
    if nothing and asked.manner is not Manner.MAKE and not asked.rows and asked.told == NOTHING_TOLD:
        raise never_heard_of(asked.resource.id)


def _require_listed(conditions: Conditions, documents: Sequence[Document], each: Sequence[tuple[Asked, Document | None]]) -> None:
    """Raises `RevisionMismatch` unless every entity tag that the call lists is the one of a tag of its objects."""
    for asked, document in each:
        if asked.as_one:
            _require_whole(conditions, asked, document)
    if conditions.etags is None or all(asked.as_one for asked, _ in each):
        return
    standing = {row["etag"] for document in documents for row in document["tags"]}
    if standing.issuperset(conditions.etags):
        return
    changed = (tag for asked, document in each for tag in touched(asked, document) if tag.etag not in (conditions.etags or ()))
    raise RevisionMismatch(
        "If-Match lists an ETag that no tag has any more: one was changed since; nothing was changed", next(changed, None)
    )


def _require_whole(conditions: Conditions, asked: Asked, document: Document | None) -> None:
    """Raises `RevisionMismatch` unless an entity tag that the call lists is the one of all tags together."""
    etag = None if document is None else whole_etag(map(tag_of, document["tags"]))
    if (conditions.present and etag is None) or (conditions.etags is not None and etag not in conditions.etags):
        state = "is not there" if etag is None else "was changed since"
        raise RevisionMismatch(f"{asked.resource.name} {state}: If-Match does not hold; nothing was changed")


def _ruled_steps(asked: Asked, steps: Sequence[Step], document: Document | None, ruled: Ruled) -> list[Step]:
    """The steps, if the definitions of their tags and the number of tags allow them."""
    checked = []
    for step in steps:
        change = step.change
        if asked.manner is Manner.MAKE:
            change = replace(change, verb=Verb.ADD)
            refusals.verb(change, step.tag, 0)  # a tag that is there in another state is not taken over
        if step.verb is not Verb.DELETE:
            change = refusals.conditions(ruled(change), step.tag)
        checked.append(Step(change, step.verb, step.tag))
    carried = 0 if document is None else len(document["tags"])
    left = carried + sum({Verb.ADD: 1, Verb.DELETE: -1}.get(step.verb, 0) for step in checked)
    if left > MAX_TAGS:
        # How many it carries is not told: the caller may not be one who may read them
        raise TooManyTags(
            f"{asked.resource.name} would carry more than {MAX_TAGS} tags, the most that one may; remove some first"
        )
    return checked


def _told(asked: Asked, document: Document | None) -> Properties | None:
    """What is told of the object once the call is made."""
    before = None if document is None else told_of(document)
    if asked.manner is Manner.CLEAR:
        return None
    if asked.manner is Manner.MAKE or asked.told != NOTHING_TOLD:
        return asked.told.over(before or NOTHING_TOLD)
    return before
