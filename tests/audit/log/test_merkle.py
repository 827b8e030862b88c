"""Trees and proofs against published values and against the definitions of RFC 9162, section 2.1."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dms_tags.audit.log import merkle
from dms_tags.errors import Unproven

# the reference tree of the Certificate Transparency implementations (RFC 6962)
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
FIRST_OF_EIGHT = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH exactly as RFC 9162, 2.1.1 defines it: recursive, sharing nothing with the code under test."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\1" + defined_root(leaves[:split]) + defined_root(leaves[split:])).digest()


def reader(leaves: list[bytes]) -> merkle.Read:
    def read(nodes):  # type: ignore[no-untyped-def]
        return [defined_root(leaves[index << height : (index + 1) << height]) for height, index in nodes]

    return read


def numbered(size: int) -> list[bytes]:
    return [f"leaf {number}".encode() for number in range(size)]


@pytest.mark.parametrize(("size", "root"), list(enumerate(ROOTS, 1)))
def test_root_published(size: int, root: str) -> None:
    """The roots are those that the published reference trees have."""
    hashes = [merkle.leaf_hash(leaf) for leaf in LEAVES[:size]]

    assert root == merkle.root_of(hashes).hex()
    assert root == merkle.root(size, reader(LEAVES)).hex()


def test_empty_root() -> None:
    """The root of no entries is the hash of nothing."""

    assert sha256(b"").digest() == merkle.root_of([]) == merkle.root(0, reader([]))


def test_inclusion_published() -> None:
    """The audit path of the first of eight leaves is the published one."""
    proof = merkle.inclusion_proof(0, 8, reader(LEAVES))

    assert FIRST_OF_EIGHT == [digest.hex() for digest in proof]


def test_example_of_rfc_9162() -> None:
    """The proofs in the tree of seven leaves are those that RFC 9162, 2.1.5 spells out."""
    leaves = numbered(7)
    a, b, c, d, e, f, j = (merkle.leaf_hash(leaf) for leaf in leaves)
    g, h, i = merkle.node_hash(a, b), merkle.node_hash(c, d), merkle.node_hash(e, f)
    k, l = merkle.node_hash(g, h), merkle.node_hash(i, j)  # noqa: E741 - the RFC's own names
    read = reader(leaves)

    assert merkle.node_hash(k, l) == merkle.root(7, read)
    assert [b, h, l] == merkle.inclusion_proof(0, 7, read)
    assert [c, g, l] == merkle.inclusion_proof(3, 7, read)
    assert [f, j, k] == merkle.inclusion_proof(4, 7, read)
    assert [i, k] == merkle.inclusion_proof(6, 7, read)
    assert [c, d, g, l] == merkle.consistency_proof(3, 7, read)
    assert [l] == merkle.consistency_proof(4, 7, read)
    assert [i, j, k] == merkle.consistency_proof(6, 7, read)


@given(st.integers(1, 70), st.data())
def test_inclusion_holds(size: int, data: st.DataObject) -> None:
    """Every leaf is proven under its own index, and under no other and in no other tree."""
    leaves = numbered(size)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, reader(leaves))
    leaf, root = merkle.leaf_hash(leaves[index]), defined_root(leaves)

    merkle.verify_inclusion(leaf, index, size, proof, root)
    for wrong in (
        (merkle.leaf_hash(b"other"), index, size, proof, root),
        (leaf, (index + 1) % size if size > 1 else 1, size, proof, root),
        (leaf, index, size, [*proof, root], root),
        (leaf, index, size, proof[1:] if proof else [root], root),
        (leaf, index, size, proof, defined_root(numbered(size + 1))),
    ):
        with pytest.raises(Unproven):
            merkle.verify_inclusion(*wrong)


@given(st.integers(0, 70), st.data())
def test_consistency_holds(new: int, data: st.DataObject) -> None:
    """A tree proves to be the beginning of a later one, and one with another entry in it does not."""
    leaves = numbered(new)
    old = data.draw(st.integers(0, new))
    proof = merkle.consistency_proof(old, new, reader(leaves))
    old_root, new_root = defined_root(leaves[:old]), defined_root(leaves)

    merkle.verify_consistency(old, old_root, new, new_root, proof)
    with pytest.raises(Unproven):
        merkle.verify_consistency(old, merkle.leaf_hash(b"other"), new, new_root, proof)
    with pytest.raises(Unproven):
        merkle.verify_consistency(old, old_root, new, new_root, [*proof, old_root])
    if proof:
        with pytest.raises(Unproven):
            merkle.verify_consistency(old, old_root, new, new_root, proof[:-1])


@given(st.integers(0, 70), st.data())
def test_range_holds(size: int, data: st.DataObject) -> None:
    """A run of neighbouring leaves with what stands left and right of it gives the root."""
    leaves = numbered(size)
    begin = data.draw(st.integers(0, size))
    end = data.draw(st.integers(begin, size))
    left, right = merkle.range_proof(begin, end, size, reader(leaves))
    proof = merkle.RangeProof(begin, left)
    for leaf in leaves[begin:end]:
        proof.append(merkle.leaf_hash(leaf))

    assert defined_root(leaves) == proof.root(size, right)


def test_range_of_another_length() -> None:
    """A range proof with a hash too many or too few is refused."""
    with pytest.raises(Unproven):
        merkle.RangeProof(3, [])
    with pytest.raises(Unproven):
        merkle.RangeProof(0, []).root(3, [])


@pytest.mark.parametrize(
    "call", [lambda read: merkle.inclusion_proof(3, 3, read), lambda read: merkle.consistency_proof(4, 3, read)]
)
def test_no_proof_beyond_the_tree(call) -> None:  # type: ignore[no-untyped-def]
    """What is not in the tree has no proof."""
    with pytest.raises(ValueError, match="tree of"):
        call(reader(numbered(3)))
