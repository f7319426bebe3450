"""``make bench``: ratios against a peer or a physical limit measured in the same run.

``python -m tests.benchmarks kernels`` runs one of them, by the name of its module.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from tests.benchmarks.connectors import connectors
from tests.benchmarks.kernels import kernels
from tests.benchmarks.records import records

BENCHMARKS: dict[str, Callable[[], Awaitable[None]]] = {
    "kernels": kernels,
    "records": records,
    "connectors": connectors,
}


async def main(names: list[str]) -> None:
    """Run the benchmarks of these names, or all."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        await BENCHMARKS[name]()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
