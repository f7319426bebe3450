"""Reading a policy's YAML without surprises, and remembering on which line everything stands.

A strict subset of YAML 1.2: only ``true`` and ``false`` are booleans (so ``on``, ``no`` and
``yes`` stay text), numbers are decimal, dates and ``12:30`` stay text, and duplicate keys,
anchors, tags and several documents in a file are refused.
"""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from runbookd.errors import PolicyError

MAX_BYTES = 1024 * 1024
_INT_DIGITS = 19
_TEXT = "tag:yaml.org,2002:str"

Path = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema, less its hexadecimal and octal."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        # Without anchors there is neither a cycle nor a small text that unfolds to a huge value.
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise yaml.composer.ComposerError(
                None, None, "anchors and aliases are not allowed", event.start_mark
            )
        if getattr(event, "tag", None) is not None:
            raise yaml.composer.ComposerError(
                None, None, f"the tag {event.tag} is not allowed", event.start_mark
            )
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"~|null|", ["~", "n", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?[0-9]+\.[0-9]*([eE][-+]?[0-9]+)?", "-+0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first)
    )


@dataclass(frozen=True, slots=True)
class YamlFile:
    """The value that a file holds, and the line (from 1) of each key and list item by its path."""

    value: Any
    lines: dict[Path, int]

    def line(self, path: Path) -> int:
        """The line of ``path``, or of the nearest thing around it that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_yaml(data: bytes, name: str) -> YamlFile:
    """The YAML document in ``data``; an empty one has the value None.

    Args:
        data: the file's bytes.
        name: how errors call the file.

    Raises:
        PolicyError: it is too long, not UTF-8, not YAML, or uses what is refused here.
    """
    if len(data) > MAX_BYTES:
        raise PolicyError(f"{name} is longer than {MAX_BYTES} bytes", "divide it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"{name}, line {line}: not UTF-8 text", "save it as UTF-8") from None
    try:
        root = yaml.compose(text, Loader=_Loader)
        lines: dict[Path, int] = {}
        value = None if root is None else _value(root, (), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}, line {mark.line + 1}" if mark else name
        what = " ".join((error.problem or error.context or "not YAML").split())
        raise PolicyError(f"{where}: {what}", "correct the YAML") from None
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        raise PolicyError(f"{name}: {what}", "correct the YAML") from None
    except RecursionError:
        raise PolicyError(f"{name} is nested too deeply", "correct the YAML") from None
    return YamlFile(value, lines)


def _value(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, at), lines) for at, item in enumerate(node.value)]
    match node.tag.removeprefix("tag:yaml.org,2002:"):
        case "null":
            return None
        case "bool":
            return node.value == "true"
        case "int" if len(node.value) < _INT_DIGITS:
            return int(node.value)
        case "int":
            raise _refused("this number is too large", node)
        case "float":
            return float(node.value)
        case _:
            return node.value


def _mapping(node: yaml.MappingNode, path: Path, lines: dict[Path, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
            raise _refused("a key must be text; put it in quotes", key)
        if key.value in found:
            first = lines[*path, key.value]
            raise _refused(f'the key "{key.value}" is already on line {first}', key)
        lines[*path, key.value] = key.start_mark.line + 1
        found[key.value] = _value(item, (*path, key.value), lines)
    return found


def _refused(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, node.start_mark)
