"""Control groups: found where they are, entered, counted, and killed at one blow."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbookd.kernels.sandbox import cgroup
from runbookd.kernels.sandbox.cgroup import Cgroup, Roots, create, find_roots, sweep

ROOTS = find_roots()

# Enters through the doors it is given, then forks until it is refused, each child in a session of
# its own; says how many there were, and stays.
BOMB = """\
import os, sys, time
for door in sys.argv[1:]:
    os.write(int(door), b"0")
    os.close(int(door))
born = 0
try:
    while born < 200:
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
        born += 1
except OSError:
    pass
print(born, flush=True)
time.sleep(600)
"""


@pytest.fixture
def group() -> Iterator[Cgroup]:
    made = create(ROOTS, 12)
    if made is None:
        assert os.geteuid() != 0 or ROOTS.unified is None, (
            "root can make groups where there are any"
        )
        pytest.skip("no control groups for this user here")
    yield made
    made.kill()
    while not made.remove():
        os.sched_yield()


def enter(group: Cgroup) -> "subprocess.Popen[bytes]":
    doors = group.doors()
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", BOMB, *map(str, doors)],
            pass_fds=doors,
            stdout=subprocess.PIPE,
        )
    finally:
        for door in doors:
            os.close(door)


def test_a_fork_bomb_is_counted_and_killed_whole(group: Cgroup) -> None:
    with enter(group) as process:
        assert process.stdout is not None
        born = int(process.stdout.readline())
        assert not group.empty
        group.kill()
        assert process.wait(10) == -9
        while not group.empty:
            os.sched_yield()
    assert born > 5
    if group.counts:
        assert born == 11, "with itself that makes twelve"
        assert group.hit_the_limit == 1


def test_a_group_with_somebody_in_it_stays(group: Cgroup) -> None:
    with enter(group) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert not group.remove()
        group.kill()


def test_the_groups_of_a_daemon_that_is_gone_are_swept_and_those_of_one_that_lives_are_not(
    group: Cgroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = cgroup._mine()
    # Its number is in use again, by a process that started later: this one.
    dead = mine.rpartition("-")[0] + "-1"
    monkeypatch.setattr(cgroup, "_mine", lambda: dead)
    left = create(ROOTS, 40)
    assert left is not None
    with enter(left) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert sweep(ROOTS) >= 1
        assert process.wait(10) == -9
    assert left.empty
    assert left.remove()
    assert sweep(ROOTS) == 0
    assert all(folder.is_dir() for folder in group._folders)


def test_without_a_hierarchy_that_can_kill_there_is_no_group(tmp_path: Path) -> None:
    assert create(Roots(None, tmp_path), 10) is None
    assert create(Roots(tmp_path, None), 10) is None, "an ordinary folder"
    assert create(Roots(tmp_path / "nowhere", None), 10) is None
    assert list(tmp_path.iterdir()) == []


MOUNTS = """\
25 30 0:23 / /proc rw,nosuid shared:5 - proc proc rw
30 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
"""
V2 = "26 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V2_OF_A_CONTAINER = "26 25 0:26 /pod /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
V1_PIDS = "27 25 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
V1_CPU = "28 25 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"


@pytest.mark.parametrize(
    ("mounts", "own", "unified", "pids"),
    [
        ("", "0::/\n", None, None),
        (V2, "0::/system.slice/runbookd.service\n", "system.slice/runbookd.service", None),
        (V2_OF_A_CONTAINER, "0::/pod/daemon\n", "daemon", None),
        (V1_PIDS + V1_CPU, "8:pids:/one\n1:cpu,cpuacct:/two\n", None, "pids/one"),
        (V2 + V1_PIDS, "8:pids:/\n0::/\n", "", "pids"),
    ],
)
def test_the_groups_of_this_process_are_found(
    tmp_path: Path, mounts: str, own: str, unified: str | None, pids: str | None
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS + mounts)
    (tmp_path / "cgroup").write_text(own)
    base = Path("/sys/fs/cgroup")
    assert find_roots(tmp_path / "mountinfo", tmp_path / "cgroup") == Roots(
        None if unified is None else base / unified, None if pids is None else base / pids
    )


def test_where_nothing_can_be_read_there_are_no_groups(tmp_path: Path) -> None:
    assert find_roots(tmp_path / "none", tmp_path / "none") == Roots(None, None)


def test_a_unified_hierarchy_that_hands_on_the_counting_does_both(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    mounts = f"26 25 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw\n"
    (tmp_path / "mountinfo").write_text(mounts)
    (tmp_path / "cgroup").write_text("0::/\n")
    found = find_roots(tmp_path / "mountinfo", tmp_path / "cgroup")
    assert found == Roots(tmp_path, tmp_path)
