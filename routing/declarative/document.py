"""From bytes to plain Python values: YAML, and nothing in it that could mislead or exhaust the reader.

Refused: more than 10 MB, anything but UTF-8, a key given twice in one place, values that refer to themselves, references
that multiply into a huge document, anything but texts, numbers, dates, booleans, lists and mappings.
"""

from collections.abc import Iterable
from typing import Any

import yaml

from routing.declarative.problems import ConfigRefused, Path, Problem

MOST_BYTES = 10 * 1024 * 1024
MOST_VALUES = 500_000  # after following `*references`
DEEPEST = 50


def read_document(data: bytes) -> Any:
    """The document as Python values. Raises ConfigRefused."""
    if len(data) > MOST_BYTES:
        raise ConfigRefused([Problem((), f"the file is larger than {MOST_BYTES // 1024**2} MB")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigRefused([Problem((), f"the file is not UTF-8: byte {error.start} cannot be read")]) from None
    try:
        return _construct(yaml.SafeLoader(text))
    except yaml.YAMLError as error:
        raise ConfigRefused([Problem((), _one_line(error))]) from None
    except RecursionError:
        raise ConfigRefused([Problem((), "the file is nested too deeply")]) from None
    except (ValueError, OverflowError) as error:  # such as the date 2026-13-45, or a number of 5,000 digits
        raise ConfigRefused([Problem((), f"the file has a value that cannot be read: {error}")]) from None


def lines_of(data: bytes, paths: Iterable[Path]) -> dict[Path, int]:
    """The line of the file that each path leads to, as far as it leads; nothing for a file that is no YAML."""
    try:
        root = yaml.compose(data.decode("utf-8-sig"), yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return {path: _line(root, path) for path in paths if root is not None and path}


def _line(node: yaml.Node, path: Path) -> int:
    line = node.start_mark.line + 1
    for step in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            key = node = node.value[step]
        else:
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            key, node = next(((key, value) for key, value in pairs if _step(key) == step), (None, node))
        if key is None:
            return line
        line = key.start_mark.line + 1
    return line


def _construct(loader: yaml.SafeLoader) -> Any:
    node = loader.get_single_node()
    if node is None:
        raise ConfigRefused([Problem((), "the file is empty")])
    _Survey().of(node, ())
    if problems := list(_twice(node, ())):
        raise ConfigRefused(problems)
    return loader.construct_document(node)


class _Survey:
    """Counts the values that a document stands for, each reference as often as it is used."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()

    def of(self, node: yaml.Node, path: Path) -> int:
        known = self._sizes.get(id(node))
        if known is not None:
            return known
        if id(node) in self._open:
            raise ConfigRefused([Problem(path, "refers to itself")])
        if len(self._open) >= DEEPEST:
            raise ConfigRefused([Problem((), f"the file is nested more than {DEEPEST} levels deep")])
        self._open.add(id(node))
        size = 1 + sum(self.of(child, (*path, step)) for step, child in _children(node))
        self._open.discard(id(node))
        if size > MOST_VALUES:
            raise ConfigRefused([Problem((), f"the file stands for more than {MOST_VALUES} values")])
        self._sizes[id(node)] = size
        return size


def _children(node: yaml.Node) -> list[tuple[str | int, yaml.Node]]:
    if isinstance(node, yaml.SequenceNode):
        return list(enumerate(node.value))
    if isinstance(node, yaml.MappingNode):
        return [(_step(key), each) for key, value in node.value for each in (key, value)]
    return []


def _step(key: yaml.Node) -> str:
    return str(key.value) if isinstance(key, yaml.ScalarNode) else "?"


def _twice(node: yaml.Node, path: Path) -> list[Problem]:
    """A problem for each key that one mapping has more than once."""
    problems: list[Problem] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, _ in node.value:
            step = _step(key)
            if not isinstance(key, yaml.ScalarNode):
                problems.append(Problem(path, "a key must be a text"))
            elif step in seen and key.tag != "tag:yaml.org,2002:merge":
                problems.append(Problem((*path, step), f"given twice, again in line {key.start_mark.line + 1}"))
            seen.add(step)
    for place, child in _children(node):
        if not isinstance(child, yaml.ScalarNode):
            problems += _twice(child, (*path, place))
    return problems


def _one_line(error: yaml.YAMLError) -> str:
    """What the parser found, with line and column, never the text around it: that may hold a secret."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        parts = [part for part in (error.context, error.problem) if part]
        return f"not YAML: {where}{', '.join(parts)}"
    return f"not YAML: {str(error).splitlines()[0]}"
