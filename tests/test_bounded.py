"""What a process remembers is bounded, whatever names callers invent."""

from __future__ import annotations

from dms_tags.bounded import Bounded
from dms_tags.identity.directory import REMEMBERED as IDS
from dms_tags.identity.directory import TokenDirectory
from dms_tags.identity.store import TokenStore
from dms_tags.store.database import Database
from dms_tags.tags import definitions
from dms_tags.tags.definitions import Definitions
from dms_tags.tags.store import TagStore


def test_the_longest_unused_goes_first() -> None:
    """One more than the bound takes the place of the one that was not asked for the longest."""
    kept: Bounded[str, int] = Bounded(2)
    kept.put("a", 1)
    kept.put("b", 2)
    kept.get("a")
    kept.put("c", 3)

    assert (1, None, 3, 2) == (kept.get("a"), kept.get("b"), kept.get("c"), len(kept))
    kept.forget("a")
    kept.forget("a")
    assert ("a" in kept, "c" in kept) == (False, True)


def test_invented_tenants(memory: Database) -> None:
    """A process remembers the definitions of so many tenants, and a tenant that is asked for again is still right."""
    known = Definitions(memory, TagStore(memory))
    for number in range(definitions.REMEMBERED + 10):
        assert known.rules(f"t{number}", "ocr") is None

    assert definitions.REMEMBERED == len(known._known)  # noqa: SLF001 - what is kept shows nowhere else


def test_noted_uses(token_store: TokenStore) -> None:
    """A process remembers of so many credentials that their use was noted; that is never more than a note too many."""
    directory = TokenDirectory(token_store, background=lambda job: job())
    for number in range(IDS + 10):
        directory.note_use(f"{number:016x}")

    assert IDS == len(directory._noted)  # noqa: SLF001 - what is kept shows nowhere else
