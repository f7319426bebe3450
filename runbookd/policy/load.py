"""Reading the policies folder: every file, checked, merged and digested."""

from pathlib import Path

from pydantic import ValidationError

from runbookd.canonical import digest, sha256
from runbookd.errors import PolicyError
from runbookd.policy.model import Lanes, Policies, PolicyFile, Redaction, Retention
from runbookd.policy.yamlfile import Path as KeyPath
from runbookd.policy.yamlfile import YamlFile, read_yaml
from runbookd.visible import one_line

_SUFFIXES = frozenset({".yaml", ".yml"})


def load_policies(folder: Path) -> Policies:
    """The policies in ``folder``: all its ``*.yaml`` and ``*.yml``, in the order of their names.

    A folder that is not there, or empty, is a policy that lets nobody approve anything and names
    no connector.

    Raises:
        PolicyError: a file cannot be read or is wrong; the message names file and line.
    """
    merge = _Merge()
    digests: dict[str, str] = {}
    for path in _files(folder):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PolicyError(f"{path} cannot be read: {error.strerror}", "mend it") from None
        digests[path.name] = sha256(data)
        document = read_yaml(data, str(path))
        merge.add(str(path), document, _validated(document, str(path)))
    return merge.policies(str(folder), digests)


def _files(folder: Path) -> list[Path]:
    """The policy files. What looks like one but would not be read is refused, not passed over."""
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PolicyError(
            f"the policies folder {folder} cannot be read: {error.strerror}", "mend it"
        ) from None
    found = []
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            inside = next((path for path in entry.rglob("*") if path.suffix in _SUFFIXES), None)
            if inside is not None:
                raise PolicyError(
                    f"{inside} would not be read", f"move it up into {folder}, or out of it"
                )
        elif entry.suffix in _SUFFIXES:
            if not entry.name.isascii():
                raise PolicyError(f"{entry} is not an ASCII name", "rename it")
            found.append(entry)
    return found


def _validated(document: YamlFile, name: str) -> PolicyFile:
    value = {} if document.value is None else document.value
    try:
        return PolicyFile.model_validate(value)
    except ValidationError as error:
        problems = []
        for each in error.errors(include_input=False, include_url=False):
            context = each.get("ctx", {})
            loc = tuple(part for part in each["loc"] if part != "[key]")
            if "key" in context:
                loc = (*loc, context["key"])
            if each["type"] == "missing":
                text, hint = f'the key "{loc[-1]}" is missing', "add it"
            elif each["type"] == "key":
                text, hint = each["msg"], context.get("hint", "take it out")
            else:
                key = next((str(part) for part in reversed(loc) if isinstance(part, str)), "")
                message = each["msg"][:1].lower() + each["msg"][1:]
                text, hint = f"{key}: {message}" if key else message, "correct it"
            problems.append((document.line(loc), text, hint))
    problems.sort()
    line, text, hint = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise PolicyError(
        f"{name}, line {line}: {one_line(text, 400)}{more}", one_line(hint, 400)
    ) from None


class _Merge:
    """Several files becoming one policy; what may stand once only is claimed by its first place."""

    def __init__(self) -> None:
        self._files: list[PolicyFile] = []
        self._claims: dict[tuple[str, str], str] = {}

    def add(self, name: str, document: YamlFile, file: PolicyFile) -> None:
        """Take a file in.

        Raises:
            PolicyError: it says something again that this or another file already says.
        """

        def claim(kind: str, key: str, path: KeyPath) -> None:
            place = f"{name}, line {document.line(path)}"
            if (kind, key) in self._claims:
                first = self._claims[kind, key]
                raise PolicyError(
                    f"{place}: the {kind} {key} is already in {first}", "keep one of them"
                )
            self._claims[kind, key] = place

        for at, identity in enumerate(file.identities):
            here: KeyPath = ("identities", at)
            claim("person", identity.person.casefold(), (*here, "person"))
            for account in identity.os_user:
                claim("OS user", account, (*here, "os_user"))
            for account in identity.slack:
                claim("Slack user", account, (*here, "slack"))
        for at, rule in enumerate(file.rules):
            claim("rule", rule.name, ("rules", at, "name"))
        for group in file.groups:
            claim("group", group, ("groups", group))
        for connector in file.connectors:
            claim("connector", connector, ("connectors", connector))
        for lane in file.lanes.model_fields_set:
            key = lane.replace("_", "-")
            claim("lane", key, ("lanes", key))
        if file.retention.model_fields_set:
            claim("section", "retention", ("retention",))
        self._files.append(file)

    def policies(self, folder: str, digests: dict[str, str]) -> Policies:
        """All of it together."""
        lanes = {
            lane: getattr(file.lanes, lane)
            for file in self._files
            for lane in file.lanes.model_fields_set
        }
        kept = [file.retention for file in self._files if file.retention.model_fields_set]
        return Policies(
            folder=folder,
            digest=digest(digests),
            files=digests,
            identities=tuple(each for file in self._files for each in file.identities),
            groups={name: group for file in self._files for name, group in file.groups.items()},
            rules=tuple(rule for file in self._files for rule in file.rules),
            connectors={
                name: each for file in self._files for name, each in file.connectors.items()
            },
            lanes=Lanes().model_copy(update=lanes),
            redaction=Redaction(
                patterns=tuple(each for file in self._files for each in file.redaction.patterns)
            ),
            retention=kept[0] if kept else Retention(),
        )
