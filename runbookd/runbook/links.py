"""How steps name one another: ``requires``, ``rollback`` and ``verify`` must lead somewhere."""

import difflib
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Protocol

from runbookd.errors import RunbookError
from runbookd.visible import one_line


class Step(Protocol):
    """What is looked at of a cell."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def requires(self) -> tuple[str, ...]:
        """Steps that must have succeeded first."""
        ...

    @property
    def rollback(self) -> str | None:
        """The step that undoes it."""
        ...

    @property
    def verify(self) -> str | None:
        """The step that shows whether it worked."""
        ...


def check_links(steps: Sequence[Step], name: str) -> None:
    """Refuse steps that name what is not there, themselves, or one another in a circle.

    Args:
        steps: all steps of the runbook.
        name: how errors call the file.

    Raises:
        RunbookError: names the step and the key.
    """
    ids = {step.id for step in steps}
    for step in steps:
        links = [("requires", each) for each in step.requires]
        links += [("rollback", step.rollback or ""), ("verify", step.verify or "")]
        for key, target in links:
            if not target:
                continue
            if target == step.id:
                raise _refused(name, f"cell {step.id}: {key} names the cell itself", "correct it")
            if target not in ids:
                near = difflib.get_close_matches(target, ids, n=1)
                hint = f'did you mean "{near[0]}"?' if near else "name a code or manual cell"
                problem = f'cell {step.id}: {key} names "{target}", which is no step'
                raise _refused(name, problem, hint)
    try:
        TopologicalSorter({step.id: step.requires for step in steps}).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise _refused(
            name, f"these cells require one another: {circle}", "cut the circle"
        ) from None


def _refused(name: str, problem: str, hint: str) -> RunbookError:
    return RunbookError(one_line(f"{name}: {problem}", 400), one_line(hint, 400))
