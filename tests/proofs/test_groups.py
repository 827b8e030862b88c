from __future__ import annotations

from pathlib import Path

from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.proofs.groups import fail_over_in_the_middle, lose_replies
from tests.support.mongo import replica_set


def test_callers_of_groups_whose_replies_are_lost(settings: Settings, database: Database) -> None:  # noqa: ARG001 - prepares the store
    """Where MongoDB fails or its reply is lost in the middle of a group, each caller is told the truth."""
    callers = lose_replies(settings, rounds=5)

    assert callers.watched.groups > callers.watched.unconfirmed > 0
    assert callers.told["made"] > callers.told["unsure"]


def test_callers_of_groups_whose_primary_steps_down(tmp_path: Path) -> None:
    """Where another MongoDB becomes the primary in the middle of a group, each caller is told the truth."""
    with replica_set(tmp_path, members=3) as nodes:
        callers = fail_over_in_the_middle(nodes, rounds=2, kill_each=2)

    assert callers.watched.groups > 0
    assert callers.told["made"] > 0
