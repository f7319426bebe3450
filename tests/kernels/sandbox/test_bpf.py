import pytest

from runbookd.errors import Unavailable
from runbookd.kernels.sandbox import bpf

from .bpf_machine import run

ALLOW, KILL = 0x7FFF0000, 0x80000000


def test_a_block_runs_only_when_its_condition_holds() -> None:
    code = bpf.encode([*bpf.load_number(), *bpf.if_equal(7, bpf.end(KILL)), *bpf.end(ALLOW)])
    assert run(code, 7) == KILL
    assert run(code, 8) == ALLOW


def test_unless_equal_is_the_opposite() -> None:
    code = bpf.encode([*bpf.load_number(), *bpf.unless_equal(7, bpf.end(KILL)), *bpf.end(ALLOW)])
    assert run(code, 7) == ALLOW
    assert run(code, 8) == KILL


def test_comparisons_are_unsigned() -> None:
    code = bpf.encode([*bpf.load_number(), *bpf.if_at_least(470, bpf.end(KILL)), *bpf.end(ALLOW)])
    assert run(code, 469) == ALLOW
    assert run(code, 470) == KILL
    assert run(code, 0xFFFFFFFF) == KILL


def test_bits_are_looked_for_one_by_one() -> None:
    block = bpf.if_any_bit(0b110, bpf.end(KILL))
    code = bpf.encode([*bpf.load_argument(1), *block, *bpf.end(ALLOW)])
    assert run(code, 0, [0b110, 0b001]) == ALLOW
    assert run(code, 0, [0, 0b100]) == KILL


def test_a_mask_keeps_only_its_bits() -> None:
    steps = [*bpf.load_argument(0), *bpf.mask(0xF), *bpf.if_equal(1, bpf.end(KILL))]
    code = bpf.encode([*steps, *bpf.end(ALLOW)])
    assert run(code, 0, [0x80801]) == KILL
    assert run(code, 0, [0x80802]) == ALLOW


def test_only_the_half_of_an_argument_that_the_kernel_reads_counts() -> None:
    code = bpf.encode([*bpf.load_argument(5), *bpf.if_equal(3, bpf.end(KILL)), *bpf.end(ALLOW)])
    assert run(code, 0, [0, 0, 0, 0, 0, 0xDEADBEEF00000003]) == KILL


def test_one_of_several_values_is_enough() -> None:
    code = bpf.encode([*bpf.load_number(), *bpf.if_one_of((1, 5), bpf.end(KILL)), *bpf.end(ALLOW)])
    assert [run(code, number) for number in (1, 3, 5)] == [KILL, ALLOW, KILL]


def test_an_error_is_part_of_the_action() -> None:
    assert bpf.fail_with(1) == 0x00050001


def test_a_block_that_would_run_on_into_the_next_is_refused() -> None:
    with pytest.raises(ValueError, match="end in a return"):
        bpf.if_equal(1, bpf.load_number())


@pytest.mark.parametrize("length", [0, 256])
def test_a_block_that_cannot_be_jumped_over_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 255"):
        bpf.if_equal(1, bpf.end(ALLOW) * length)


def test_a_program_that_the_kernel_would_refuse_is_refused_before() -> None:
    with pytest.raises(Unavailable, match="too long"):
        bpf.encode(bpf.end(ALLOW) * 4097)
