"""The Merkle tree of RFC 6962, section 2.1, grown leaf by leaf in O(log n) memory.

A leaf hash is SHA-256(0x00 || data), an inner node SHA-256(0x01 || left || right); the left side
of every node is the largest possible complete subtree. The root of no leaves is SHA-256 of
nothing. Go's ``sumdb/tlog`` computes the same.
"""

import hashlib

HASH_SIZE = 32


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf: for the record, of a line's bytes without the line feed."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node over the hashes of its two sides."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that can only grow. It keeps the roots of its complete subtrees, largest first.

    Attributes:
        size: how many leaves there are.
    """

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its :func:`leaf_hash`."""
        # Every trailing 1 bit of the old size is a complete subtree that the new leaf completes
        # to one of twice the size.
        carry = self.size
        while carry & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            carry >>= 1
        self._peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The root over all leaves, 32 bytes."""
        if not self._peaks:
            return hashlib.sha256().digest()
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def copy(self) -> "Tree":
        """The same tree, growing separately from now on."""
        twin = Tree()
        twin.size = self.size
        twin._peaks = self._peaks.copy()
        return twin
