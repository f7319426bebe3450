"""The sandbox under attack."""

import pytest

from runbookd.kernels.sandbox import LandlockSandbox, landlock
from runbookd.kernels.sandbox.syscalls import this_machine


@pytest.fixture(scope="session")
def sandbox() -> LandlockSandbox:
    machine = this_machine()
    if machine is None or landlock.abi() < landlock.OLDEST_ABI:
        pytest.skip("this machine cannot enforce the sandbox")
    return LandlockSandbox(machine)
