"""A structured assembler for seccomp filters (classic BPF).

A program is a list of instructions. There are no labels: a condition carries the block that runs
when it holds, every block ends in a return, and otherwise control goes on behind the block. What
is written can be read from top to bottom.

A filter sees ``struct seccomp_data``: number, architecture, instruction pointer, six arguments
of 64 bits. Arguments are compared by their low half, because that is all the kernel itself looks
at where it takes an ``int``; both machines that the sandbox knows are little-endian.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from runbookd.errors import Unavailable

ALLOW = 0x7FFF0000
NOTIFY = 0x7FC00000
KILL = 0x80000000

_LOAD = 0x20
_IF_EQUAL = 0x15
_IF_AT_LEAST = 0x35
_IF_ANY_BIT = 0x45
_AND = 0x54
_RETURN = 0x06

_BLOCK_MAX = 255
_PROGRAM_MAX = 4096


class Instruction(NamedTuple):
    """One ``struct sock_filter``: code, how many to skip if true and if false, constant."""

    code: int
    if_true: int
    if_false: int
    k: int


Block = list[Instruction]


def fail_with(code: int) -> int:
    """The action that makes the call return ``-code`` unexecuted; 0 looks like success."""
    return 0x00050000 | code


def end(action: int) -> Block:
    """End the filter with ``action``."""
    return [Instruction(_RETURN, 0, 0, action)]


def load_number() -> Block:
    """Load the system call's number."""
    return [Instruction(_LOAD, 0, 0, 0)]


def load_architecture() -> Block:
    """Load the AUDIT_ARCH value of the calling convention that was used."""
    return [Instruction(_LOAD, 0, 0, 4)]


def load_argument(index: int) -> Block:
    """Load the low 32 bits of an argument, counted from 0."""
    return [Instruction(_LOAD, 0, 0, 16 + 8 * index)]


def mask(bits: int) -> Block:
    """Keep only ``bits`` of what is loaded."""
    return [Instruction(_AND, 0, 0, bits)]


def if_equal(value: int, block: Block) -> Block:
    """Run ``block`` if what is loaded equals ``value``."""
    return _condition(_IF_EQUAL, value, block)


def unless_equal(value: int, block: Block) -> Block:
    """Run ``block`` if what is loaded is anything but ``value``."""
    [test, *rest] = _condition(_IF_EQUAL, value, block)
    return [test._replace(if_true=test.if_false, if_false=0), *rest]


def if_at_least(value: int, block: Block) -> Block:
    """Run ``block`` if what is loaded is ``value`` or more, unsigned."""
    return _condition(_IF_AT_LEAST, value, block)


def if_any_bit(bits: int, block: Block) -> Block:
    """Run ``block`` if what is loaded has any of ``bits``."""
    return _condition(_IF_ANY_BIT, bits, block)


def if_one_of(values: Iterable[int], block: Block) -> Block:
    """Run ``block`` if what is loaded is one of ``values``."""
    return [step for value in values for step in if_equal(value, block)]


def _condition(code: int, value: int, block: Block) -> Block:
    if not 0 < len(block) <= _BLOCK_MAX:
        raise ValueError(f"a block has 1 to {_BLOCK_MAX} instructions, not {len(block)}")
    if block[-1].code != _RETURN:
        raise ValueError("a block must end in a return")
    return [Instruction(code, 0, len(block), value), *block]


def encode(program: Block) -> bytes:
    """The program as an array of ``struct sock_filter``.

    Raises:
        Unavailable: it is longer than the kernel takes.
    """
    if len(program) > _PROGRAM_MAX:
        raise Unavailable("the seccomp filter is too long for the kernel")
    return b"".join(struct.pack("<HBBI", *step) for step in program)
