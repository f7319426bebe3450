"""The parts of the documentation that are made from the program; run me to write them anew.

python -m tests.docs.generated
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator

from runbookd.kernels.sandbox import attacker
from runbookd.tui.actions import WALK

from .pages import PAGES, with_parts

_NOWHERE: attacker.Targets = {
    "outside": "",
    "scratch": "",
    "hidden": "",
    "victim": 0,
    "listeners": {},
    "declared": ("", 0),
    "token": "",
}


def probe_rows() -> str:
    """The names of all attacks of the self-test, in its order: what ``doctor`` lists."""
    names = [name for name, _ in attacker.attacks(_NOWHERE)]
    return f"```text\n{textwrap.fill(' '.join(names), 96, break_on_hyphens=False)}\n```\n"


def keys() -> str:
    """The keys of the walk."""
    rows = [f"| **{action.shown}** | {action.help} |" for action in WALK]
    return "\n".join(["| key | what it does |", "|---|---|", *rows, ""])


PARTS: dict[str, Callable[[], str]] = {"probe": probe_rows, "keys": keys}


def parts() -> dict[str, str]:
    """Every part by its name."""
    return {name: make() for name, make in PARTS.items()}


def rewritten() -> Iterator[tuple[str, str, str]]:
    """Every page as (name, what it says, what it should say)."""
    made = parts()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        yield page.name, text, with_parts(text, made)


def _write(changed: Iterable[tuple[str, str, str]]) -> None:
    by_name = {page.name: page for page in PAGES}
    for name, old, new in changed:
        if new != old:
            by_name[name].write_text(new, encoding="utf-8")
            print(f"wrote {name}")


if __name__ == "__main__":
    _write(rewritten())
