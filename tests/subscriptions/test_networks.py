"""Where events may be sent."""

from __future__ import annotations

import pytest

from dms_tags.errors import InvalidBody
from dms_tags.subscriptions.networks import Networks, NotAllowed

PUBLIC = ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"]
NOT_PUBLIC = [
    *("0.0.0.0", "::"),  # noqa: S104 - nothing binds to them
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "255.255.255.255"),
    *(
        "224.0.0.1",
        "240.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "ff02::1",
    ),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2001:db8::1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    """Public addresses are sent to over TLS, and not in the clear."""
    Networks([]).require(address, tls=True)

    with pytest.raises(NotAllowed, match="use https"):
        Networks([]).require(address, tls=False)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_not_public(address: str) -> None:
    """Nothing is sent to any other address, in whichever spelling."""
    with pytest.raises(NotAllowed, match="DMS_TAGS_WEBHOOK_NETWORKS does not name it"):
        Networks(["203.0.113.0/24"]).require(address, tls=True)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd00::1"])
def test_named(address: str) -> None:
    """A network that is named may be sent to, in the clear too."""
    Networks(["10.0.0.0/8", "fd00::/8"]).require(address, tls=False)


@pytest.mark.parametrize(
    "url",
    [
        *("https://h.example/a?b=c", "https://h.example:8443", "https://8.8.8.8/x", "https://[2001:4860:4860::8888]/"),
        "https://2130706433/",  # what that is a name server, or the system, says: looked at with each connection
    ],
)
def test_urls(url: str) -> None:
    """An https URL of a name, or of a public address."""
    assert url == Networks([]).check(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "h.example", "ftp://h.example", "https://", "https:///path", "https://u:p@h.example/", "https://u@h.example/"),
        *(
            "https://h.example/#a",
            "https://h.example/a b",
            "https://h.example\\@127.0.0.1/",
            "https://h.example:x/",
            "https://[::1",
        ),
        *(
            "https://h.example:99999/",
            "https://h.example:0/",
            "https://hö.example/",
            "https://h.example/\n",
            "https://127.0.0.1/",
        ),
        *("https://[::ffff:127.0.0.1]/", "https://[::1]/", "http://h.example/", "http://8.8.8.8/"),
    ],
)
def test_wrong_urls(url: str) -> None:
    """Anything else is refused when it is given."""
    with pytest.raises(InvalidBody, match="url: "):
        Networks([]).check(url)
