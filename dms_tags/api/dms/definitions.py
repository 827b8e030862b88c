"""Tag definitions, read from a request's body (API.md section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dms_tags import names
from dms_tags.errors import InvalidBody, InvalidState
from dms_tags.tags.definitions import MAX_STATES, Definition

MEMBERS: Final = ("states", "transitions", "initial", "enforce")
MAX_LABEL: Final = 255


def read(name: str, body: Any) -> Definition:
    """The definition that a body gives of tags called `name`.  Raises `InvalidBody`, naming the member at fault."""
    if not isinstance(body, Mapping):
        raise InvalidBody(
            'the body is a JSON object {"states":{"1":"queued"},"transitions":{"1":[2]},"initial":[1],"enforce":true}'
        )
    unknown = sorted(set(body) - set(MEMBERS))
    if unknown:
        raise InvalidBody(f"{unknown[0]!r} is none of {', '.join(MEMBERS)}", unknown[0])
    states = _states(body.get("states"))
    transitions, initial = body.get("transitions"), body.get("initial")
    enforce = body.get("enforce", True)
    if not isinstance(enforce, bool):
        raise InvalidBody("enforce: true or false", "enforce")
    return Definition(
        name,
        states,
        None if transitions is None else _transitions(transitions),
        None if initial is None else _set(initial, "initial"),
        enforce,
    )


def _states(given: Any) -> dict[int, str]:
    if not isinstance(given, Mapping) or not 1 <= len(given) <= MAX_STATES:
        raise InvalidBody(f'states: an object that names 1 to {MAX_STATES:,} states, for instance {{"1":"queued"}}', "states")
    states: dict[int, str] = {}
    for state, label in given.items():
        if not isinstance(label, str) or not 1 <= len(label) <= MAX_LABEL:
            raise InvalidBody(f"states.{state}: a text of 1 to {MAX_LABEL} characters", "states")
        states[_key(state, "states")] = label
    return states


def _transitions(given: Any) -> dict[int, frozenset[int]]:
    if not isinstance(given, Mapping):
        raise InvalidBody('transitions: an object, for instance {"1":[2],"2":[1,3]}', "transitions")
    return {_key(state, "transitions"): _set(following, f"transitions.{state}") for state, following in given.items()}


def _set(given: Any, member: str) -> frozenset[int]:
    if not isinstance(given, list) or not all(isinstance(state, int) and not isinstance(state, bool) for state in given):
        raise InvalidBody(f"{member}: a list of states", member)
    return frozenset(given)


def _key(text: str, member: str) -> int:
    try:
        return names.state(text)
    except InvalidState as error:
        raise InvalidBody(f"{member}: {error.detail}", member) from error
