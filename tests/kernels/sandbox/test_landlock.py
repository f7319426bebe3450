import errno
import os
import struct
from pathlib import Path

import pytest

from runbookd.errors import KernelUnavailable
from runbookd.kernels.sandbox import landlock
from runbookd.kernels.sandbox.landlock import Grant


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...]]]:
    """What would be asked of the kernel: each call with its decoded structure."""
    made: list[tuple[str, tuple[int, ...]]] = []
    layouts = {24: "=QQQ", 12: "=Qi", 16: "=QQ"}

    def syscall(call: str, *arguments: object) -> int:
        for argument in arguments:
            raw = getattr(argument, "raw", None)
            if raw is not None:
                made.append((call, struct.unpack(layouts[len(raw)], raw)))
        return os.open("/dev/null", os.O_RDONLY) if call == "landlock_create_ruleset" else 0

    monkeypatch.setattr(landlock, "syscall", syscall)
    monkeypatch.setattr(landlock, "abi", lambda: 7)
    return made


def test_every_right_is_handled_and_everything_stays_inside(
    calls: list[tuple[str, tuple[int, ...]]],
) -> None:
    os.close(landlock.build((), (), signals=False))
    every_file_right, bind_and_connect, signals_and_abstract_sockets = 0xFFFF, 0b11, 0b11
    assert calls == [
        (
            "landlock_create_ruleset",
            (every_file_right, bind_and_connect, signals_and_abstract_sockets),
        )
    ]


def test_signals_may_be_let_out_but_abstract_sockets_may_not(
    calls: list[tuple[str, tuple[int, ...]]],
) -> None:
    os.close(landlock.build((), (), signals=True))
    assert calls[0][1][2] == 0b01


def test_ports_may_be_bound_and_none_connected_to(
    calls: list[tuple[str, tuple[int, ...]]],
) -> None:
    os.close(landlock.build((), (5555,), signals=False))
    assert calls[1:] == [("landlock_add_rule", (0b01, 5555))]


def test_a_file_is_granted_only_what_files_have(
    calls: list[tuple[str, tuple[int, ...]]], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    os.close(landlock.build([Grant(tmp_path / "file", landlock.WRITE)], (), signals=False))
    rights = calls[1][1][0]
    assert rights == (
        landlock.EXECUTE | landlock.READ_FILE | landlock.WRITE_FILE | landlock.TRUNCATE
    )


def test_what_does_not_exist_is_left_out(
    calls: list[tuple[str, tuple[int, ...]]], tmp_path: Path
) -> None:
    os.close(landlock.build([Grant(tmp_path / "none", landlock.READ)], (), signals=False))
    assert len(calls) == 1


def test_a_landlock_that_cannot_keep_signals_inside_is_too_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 5)
    with pytest.raises(KernelUnavailable, match=r"Linux 6\.12"):
        landlock.build((), (), signals=False)


def test_no_landlock_is_version_0(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "switched off")

    monkeypatch.setattr(landlock, "syscall", refuse)
    assert landlock.abi() == 0


def test_a_refused_rule_leaves_no_descriptor_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = landlock.syscall

    def refuse(call: str, *arguments: int) -> int:
        if call == "landlock_add_rule":
            raise OSError(errno.EINVAL, "no")
        return real(call, *arguments)

    if landlock.abi() < landlock.OLDEST_ABI:
        pytest.skip("this machine cannot enforce the sandbox")
    monkeypatch.setattr(landlock, "syscall", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(KernelUnavailable, match="refused a rule"):
        landlock.build([Grant(tmp_path, landlock.READ)], (), signals=False)
    assert len(os.listdir("/proc/self/fd")) == before
