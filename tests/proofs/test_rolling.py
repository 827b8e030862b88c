"""Restarts in turn, a few of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dms_tags.settings import Settings
from tests.proofs.rolling import behind_nginx, restart_in_turn
from tests.proofs.services import fleet
from tests.support.nginx import nginx


def test_restarts_in_turn_lose_no_call(settings: Settings, tmp_path: Path) -> None:
    """Without a proxy: who is refused goes to the other service, and no call that was sent is lost."""
    with fleet(tmp_path, settings.mongo_uri or "", settings.database) as services:
        restart_in_turn(services, [service.port for service in services], restarts=1)


@pytest.mark.skipif(not nginx(), reason="nginx is not here")
def test_restarts_in_turn_behind_a_proxy(settings: Settings, tmp_path: Path) -> None:
    """Behind nginx callers notice nothing."""
    with (
        fleet(tmp_path, settings.mongo_uri or "", settings.database) as services,
        behind_nginx(tmp_path / "nginx", services) as port,
    ):
        restart_in_turn(services, [port], restarts=2)
