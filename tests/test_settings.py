"""Settings that do not fit are refused by name, with what would be right."""

from __future__ import annotations

import pytest

from dms_tags.errors import CannotStart
from dms_tags.serving.listener import listen
from dms_tags.serving.preflight import check
from dms_tags.settings import Settings


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("DMS_TAGS_TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.1/8 has host bits set; networks are such as 10.0.0.0/8 or 10.0.0.5"),
        ("DMS_TAGS_WEBHOOK_NETWORKS", "intranet", "networks are such as 10.0.0.0/8 or 10.0.0.5"),
        ("DMS_TAGS_WITNESS_URL", "witness.example/log", "must begin with http:// or https:// and a host"),
        ("DMS_TAGS_WITNESS_URL", "https://", "must begin with http:// or https:// and a host"),
        ("DMS_TAGS_BIND", "8080", "must be host:port, for instance 127.0.0.1:8080"),
    ],
)
def test_a_value_that_does_not_fit(variable: str, value: str, says: str) -> None:
    """The variable is named, and what it should look like."""
    with pytest.raises(CannotStart) as refused:
        Settings.from_environment({variable: value})

    assert str(refused.value).startswith(variable)
    assert says in str(refused.value)


def test_a_witness_may_have_a_path_and_a_query() -> None:
    """Any address of http or https is taken as it is."""
    url = "https://name:secret@witness.example:8443/log?of=tags"

    assert url == Settings.from_environment({"DMS_TAGS_WITNESS_URL": url}).witness_url


def test_a_password_that_is_not_encoded() -> None:
    """What a password makes of MongoDB's address is told with what mends it, without the password."""
    with pytest.raises(CannotStart, match="is percent-encoded") as refused:
        check(Settings(mongo_uri="mongodb://name:se/cret@db.example/?replicaSet=tags"))

    assert "cret" not in str(refused.value)


def test_an_address_of_another_machine() -> None:
    """The service listens on addresses of its own machine alone."""
    with pytest.raises(CannotStart, match=r"DMS_TAGS_BIND=203\.0\.113\.9:8080: .*; this machine has no such address"):
        listen(Settings(bind="203.0.113.9:8080"))
