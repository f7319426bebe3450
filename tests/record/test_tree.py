"""The Merkle tree is RFC 6962's."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from runbookd.record.tree import Tree, leaf_hash, node_hash

# The leaves and roots that implementations of Certificate Transparency test themselves with.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243",
        "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def tree_of(leaves: list[bytes]) -> Tree:
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree


def by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(by_definition(leaves[:split]), by_definition(leaves[split:]))


def test_roots_are_those_of_certificate_transparency() -> None:
    for size, root in ROOTS.items():
        assert tree_of(LEAVES[:size]).root().hex() == root


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_the_incremental_root_is_the_recursive_definition(leaves: list[bytes]) -> None:
    tree = tree_of(leaves)
    assert tree.size == len(leaves)
    assert tree.root() == by_definition(leaves)


def test_the_state_stays_logarithmic() -> None:
    tree = tree_of([b"x"] * 1023)
    assert len(tree._peaks) == 10


def test_a_copy_grows_by_itself() -> None:
    tree = tree_of(LEAVES[:5])
    root = tree.root()
    tree.copy().append(leaf_hash(b"more"))
    assert tree.root() == root
    assert tree.size == 5
