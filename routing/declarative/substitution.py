"""`${VAR}` and `${file:/path}` inside the texts of a document. `$${` stands for a literal `${`."""

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from routing.declarative.problems import Path, Problem

MOST_BYTES = 1024 * 1024
_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")
_NAME = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]*\Z")


class Substituted(str):
    """A text that came from the environment or a file; it may stand where a number or a yes-or-no is asked for."""

    __slots__ = ()


class _Unresolved(Exception):
    """A reference that leads nowhere; the text says why."""


def substitute(
    value: Any, environ: Mapping[str, str], problems: list[Problem], path: Path = (), *, server: bool = True
) -> Any:
    """`value` with every reference in its texts replaced; what cannot be replaced is added to `problems` and left as it
    is. Keys of mappings are not touched. Without `server` the file comes from somebody who may not read the server's files
    and its environment: `environ` is what they have given themselves."""
    if isinstance(value, dict):
        return {
            key: substitute(each, environ, problems, (*path, str(key)), server=server) for key, each in value.items()
        }
    if isinstance(value, list):
        return [substitute(each, environ, problems, (*path, index), server=server) for index, each in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        return Substituted(_REFERENCE.sub(lambda found: _resolve(found, environ, server), value))
    except _Unresolved as error:
        problems.append(Problem(path, str(error)))
        return Unknown()


class Unknown:
    """Stands for a value that could not be replaced, so that no second problem is reported for it."""

    __slots__ = ()


def escaped(text: str) -> str:
    """`text` so that `substitute` gives it back unchanged."""
    return text.replace("${", "$${")


def names_in(value: Any) -> dict[str, None]:
    """The names of all references to variables in the texts of `value`, in their order, each once."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return {name: None for each in inner for name in names_in(each)}
    if not isinstance(value, str):
        return {}
    found = (match.group(1) for match in _REFERENCE.finditer(value) if match.group() != "$${" and match.group(2))
    return {name: None for name in found if _NAME.match(name)}


def only_name(value: Any) -> str:
    """The name, if the whole text is one reference to a variable; else ""."""
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    name = match.group(1) if match and match.group(2) else ""
    return name if _NAME.match(name) else ""


def _resolve(found: re.Match[str], environ: Mapping[str, str], server: bool) -> str:
    if found.group() == "$${":
        return "${"
    name, closed = found.groups()
    if not closed:
        raise _Unresolved("${ without its }; write $${ for a literal ${")
    if name.startswith("file:") and not server:
        raise _Unresolved("files of the server are read by the command import_config only")
    if name.startswith("file:"):
        return _content(name.removeprefix("file:"))
    if not _NAME.match(name):
        raise _Unresolved(
            f"${{{name}}} is not a reference; write ${{NAME}}, ${{file:/path}}, or $${{ for a literal ${{"
        )
    if name not in environ:
        raise _Unresolved(f"{name} is not set in the environment" if server else f"{name} has no value")
    return environ[name]


def _content(path: str) -> str:
    try:
        with FilePath(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise _Unresolved(f"the file {path} is larger than 1 MB")
        return data.decode().strip()
    except OSError as error:
        raise _Unresolved(f"cannot read the file {path}: {error.strerror}") from None
    except ValueError:  # not UTF-8, or a NUL in the path
        raise _Unresolved(f"cannot read the file {path}: not UTF-8 text") from None
