"""A second opinion on filters: runs encoded seccomp programs as the kernel would.

Written from the description of classic BPF, not from the assembler under test.
"""

import struct
from collections.abc import Sequence


def run(code: bytes, number: int, arguments: Sequence[int] = (), arch: int = 0xC000003E) -> int:
    """The value that the filter returns for one system call."""
    words = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<iIQ6Q", _signed(number), arch, 0, *(word & (2**64 - 1) for word in words))
    steps = list(struct.iter_unpack("<HBBI", code))
    accumulator = 0
    position = 0
    while True:
        opcode, if_true, if_false, k = steps[position]
        position += 1
        match opcode:
            case 0x20:
                [accumulator] = struct.unpack_from("<I", data, k)
            case 0x54:
                accumulator &= k
            case 0x15:
                position += if_true if accumulator == k else if_false
            case 0x35:
                position += if_true if accumulator >= k else if_false
            case 0x45:
                position += if_true if accumulator & k else if_false
            case 0x06:
                return int(k)
            case _:
                raise AssertionError(f"unknown instruction {opcode:#x}")


def _signed(number: int) -> int:
    return number - 2**32 if number >= 2**31 else number
