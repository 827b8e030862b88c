"""What the service says once it listens."""

from __future__ import annotations

import pytest

from dms_tags.serving.welcome import welcome
from dms_tags.settings import Settings


@pytest.mark.parametrize(
    ("auth", "who", "sends_token"),
    [("none", "without authentication", False), ("tokens", "need a token", True), ("jwt", "need a JWT", True)],
)
def test_it_tells_where_who_and_how(auth: str, who: str, sends_token: bool) -> None:
    """The URL alone ends the first line; then who may call, and a call to try with what it needs."""
    first, *more = welcome(Settings(auth=auth), "127.0.0.1:8080").splitlines()

    assert "dms-tags listens on http://127.0.0.1:8080" == first
    assert who in more[0]
    assert "curl -X POST" in more[1]
    assert sends_token == ("Authorization" in more[1])
