"""Secrets and signatures of Standard Webhooks."""

from __future__ import annotations

import base64

from dms_tags.subscriptions import signing

# The example of Standard Webhooks' own libraries
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_example_of_the_standard() -> None:
    """The signature of the standard's example."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))

    assert [("webhook-id", ID), ("webhook-timestamp", str(TIMESTAMP)), ("webhook-signature", SIGNATURE)] == signing.headers(
        [key], ID, TIMESTAMP, BODY
    )


def test_a_signature_of_each_secret() -> None:
    """Where several secrets are valid each signs."""
    *_, (_, signatures) = signing.headers([b"a" * 32, b"b" * 32], ID, TIMESTAMP, BODY)

    assert 2 == len(set(signatures.split(" ")))


def test_secrets_are_random_and_spelt_as_the_standard_says() -> None:
    """256 random bits in base64, behind whsec_."""
    one, other = signing.new_secret(), signing.new_secret()

    assert one != other
    assert (32, one) == (len(one), base64.b64decode(signing.spell(one).removeprefix("whsec_"), validate=True))
