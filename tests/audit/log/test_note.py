"""Signed notes, verifier keys and checkpoints against published ones."""

from __future__ import annotations

from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.merkle import EMPTY_ROOT
from dms_tags.audit.log.note import Signer, Verifier, open_note
from dms_tags.errors import Unproven

# the example of Go's golang.org/x/mod/sumdb/note, which the specification describes
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETERS_SEED = b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = TEXT + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
SUMDB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"


def signer(name: str = "log.example/default", seed: int = 1) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def test_published_note_opens() -> None:
    """The published note holds under the published key."""
    assert TEXT == open_note(NOTE, [Verifier.parse(PETER)])


def test_published_key_signs_the_published_note() -> None:
    """Signing the published text with the published private key gives the published note, to the byte."""
    assert NOTE == Signer("PeterNeumann", Ed25519PrivateKey.from_private_bytes(PETERS_SEED)).sign(TEXT)


@pytest.mark.parametrize("line", [PETER, SUMDB])
def test_verifier_key_round_trip(line: str) -> None:
    """A verifier key is spelt as it was read; its key id is right."""
    assert line == str(Verifier.parse(line + "\n"))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "name",
        PETER.replace("c74f20a3", "c74f20a4"),
        PETER.replace("+AR", "+BR"),
        PETER[:-4],
        PETER.replace("Peter", "Peter "),
        "+" + PETER,
    ],
)
def test_verifier_key_refused(line: str) -> None:
    """Anything but a verifier key with its own key id is refused."""
    with pytest.raises(Unproven):
        Verifier.parse(line)


@pytest.mark.parametrize(
    "note",
    [
        NOTE.replace("problem is", "problem was"),
        NOTE.replace("x08go/ZJ", "x08go/ZK"),
        NOTE.replace("PeterNeumann", "PeterNewmann"),
        NOTE[:-1],
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("— ", "- "),
        NOTE.replace("your", "your\t"),
        TEXT,
        "",
    ],
)
def test_spoilt_note_refused(note: str) -> None:
    """A note with a changed text, signature, name or form does not open."""
    with pytest.raises(Unproven):
        open_note(note, [Verifier.parse(PETER)])


def test_unknown_signatures_are_passed_over() -> None:
    """A signature by an unknown key beside a known one changes nothing."""
    both = NOTE + signer("witness.example").sign(TEXT).rpartition("\n\n")[2]

    assert TEXT == open_note(both, [Verifier.parse(PETER)])


def test_known_signature_that_does_not_hold_spoils_the_note() -> None:
    """Where two keys are known and one signature is wrong the note is refused."""
    other = signer("witness.example")
    both = NOTE + other.sign("another text\n").rpartition("\n\n")[2]

    with pytest.raises(Unproven, match="does not hold"):
        open_note(both, [Verifier.parse(PETER), other.verifier])


def test_note_text_ends_with_a_line_end() -> None:
    """A text without a line end at its end cannot be signed."""
    with pytest.raises(ValueError, match="line end"):
        signer().sign("text")


def test_published_checkpoint_text() -> None:
    """The checkpoint of the specification is read, and spelt as it was read."""
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = Checkpoint.parse(text)

    assert ("example.com/behind-the-sofa", 20852163) == (checkpoint.origin, checkpoint.size)
    assert text == checkpoint.text


def test_checkpoint_round_trip() -> None:
    """A signed checkpoint opens under the log's own key."""
    checkpoint = Checkpoint("log.example/default", 7, EMPTY_ROOT)

    assert checkpoint == Checkpoint.open(signer().sign(checkpoint.text), [signer().verifier])


def test_checkpoint_by_another_key_refused() -> None:
    """A checkpoint that another key signed in the log's name is refused."""
    note = signer(seed=2).sign(Checkpoint("log.example/default", 7, EMPTY_ROOT).text)

    with pytest.raises(Unproven, match="not signed"):
        Checkpoint.open(note, [signer().verifier])


def test_checkpoint_of_another_log_refused() -> None:
    """A checkpoint of one log, though signed by a known key of another, is refused."""
    other = signer("log.example/other")
    note = other.sign(Checkpoint("log.example/default", 7, EMPTY_ROOT).text)

    with pytest.raises(Unproven):
        Checkpoint.open(note, [signer().verifier, other.verifier])
    with pytest.raises(Unproven):
        Checkpoint.open(note, [other.verifier])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        "o\n01\n{root}\n",
        "o\n-1\n{root}\n",
        "o\n1\n{root}",
        "o\n1\nAAAA\n",
        "\n1\n{root}\n",
        "o\n1\n{root}\n\n",
        "o\n1\n!\n",
    ],
)
def test_malformed_checkpoint_refused(text: str) -> None:
    """Anything but an origin, a size without leading zeroes and a root is no checkpoint."""
    with pytest.raises(Unproven):
        Checkpoint.parse(text.replace("{root}", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="))
