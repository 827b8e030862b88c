"""C2SP signed notes with Ed25519: a text, an empty line, and signatures by named keys (c2sp.org/signed-note)."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dms_tags.errors import Unproven

ED25519: Final = b"\x01"
DASH: Final = "\N{EM DASH} "
"""How a signature line begins."""

MAX_NOTE: Final = 64_000
"""Bytes of a note that is looked at: room for far more than the 16 signatures that a verifier must accept."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A key that signatures are checked with: the name it signs under and its 32 public bytes."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that tell keys of one name apart."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        """The key in one line, `<name>+<key id>+<key>`, as other implementations read it."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, line: str) -> Self:
        """The key that `line` spells.  Raises `Unproven` for anything else."""
        name, key_id, key = [*line.strip().split("+", 2), "", ""][:3]
        try:
            decoded = b64decode(key, validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if not valid_name(name) or len(decoded) != 33 or decoded[:1] != ED25519:
            raise Unproven("this is no Ed25519 verifier key, <name>+<key id>+<key>")
        verifier = cls(name, decoded[1:])
        if verifier.key_id.hex() != key_id:
            raise Unproven(f"the verifier key of {name} does not have the key id {key_id}")
        return verifier

    def verify(self, text: str, signature: bytes) -> bool:
        """Whether `signature` is this key's over `text`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key under the name that it signs with."""

    name: str
    private: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, self.private.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """The note of `text`, which ends with a line end, signed by this key."""
        if not text.endswith("\n"):
            raise ValueError("the text of a note ends with a line end")
        signature = b64encode(self.verifier.key_id + self.private.sign(text.encode())).decode()
        return f"{text}\n{DASH}{self.name} {signature}\n"


def notes_in(text: str) -> Iterator[str]:
    """The notes in `text`, one note or a witness file that notes were appended to; what is none is passed over."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not line.startswith(DASH) or lines[number - 1].startswith(DASH):
            continue
        begin, end = number - 1, number
        while begin > 0 and lines[begin - 1]:
            begin -= 1
        while end < len(lines) and lines[end].startswith(DASH):
            end += 1
        yield "\n".join([*lines[begin:end], ""])


def valid_name(name: str) -> bool:
    """Whether a key may be called so: not empty, no space, no plus, nothing that ends a line."""
    return bool(name) and "+" not in name and not any(char.isspace() or char < " " for char in name)


def open_note(note: str, verifiers: Sequence[Verifier]) -> str:
    """The text of `note`, which at least one of `verifiers` must have signed.

    Signatures by other keys are passed over; one by a known key that does not hold spoils the note.  Raises `Unproven`.
    """
    text, gap, tail = note.rpartition("\n\n")
    if len(note) > MAX_NOTE or not gap or not tail.endswith("\n") or any(char < " " and char != "\n" for char in note):
        raise Unproven("this is no signed note: a text, an empty line, signatures")
    text += "\n"
    signed = False
    for line in tail[:-1].split("\n"):
        name, signature = _signature(line)
        for verifier in verifiers:
            if verifier.name != name or verifier.key_id != signature[:4]:
                continue
            if not verifier.verify(text, signature[4:]):
                raise Unproven(f"the signature of {name} does not hold")
            signed = True
    if not signed:
        raise Unproven(f"not signed by the key of {' or '.join(verifier.name for verifier in verifiers)}")
    return text


def _signature(line: str) -> tuple[str, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    try:
        signature = b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    if dash != "\N{EM DASH}" or not valid_name(name) or len(signature) < 5:
        raise Unproven("a signature line of the note is malformed")
    return name, signature
