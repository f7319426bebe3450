"""The sandbox that makes "read-only" true: Landlock, seccomp, and a broker for connections."""

from runbookd.kernels.sandbox.probe import probe
from runbookd.kernels.sandbox.process import LandlockSandbox, NoSandbox, Sandbox, kill_tree
from runbookd.kernels.sandbox.walls import Walls

__all__ = ["LandlockSandbox", "NoSandbox", "Sandbox", "Walls", "kill_tree", "probe"]
