"""Conditions of a route: which requests it hands on to another route. Pure: checked, compiled once, asked for each request.

    [{"when": {"team": ["research"], "stream": True}, "route": "sonnet-eu"}]

The first condition whose every test holds decides. A list means any of its members; `*` in a text stands for any run of
characters. docs/routing.md has the table of tests.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accounting.access.patterns import matches
from routing.facts import FORMATS, Facts

FLAGS = ("session", "stream")
NUMBERS = ("prompt_tokens_above", "prompt_tokens_below")
# In the order in which they are asked; what may have to read the body comes last.
TESTS = ("team", "project", "tag", "key", "format", "session", "stream", "beta", "model", *NUMBERS, "field")
MOST_CONDITIONS = 100  # of one route
MOST_VALUES = 200  # of one test
LONGEST_TEXT = 300
MOST_TOKENS = 1_000_000_000

Path = tuple[str | int, ...]
Problem = tuple[Path, str]
Texts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Test:
    """One test of a condition. Of `values`, `flags` and `tags` only what belongs to its `name` is filled.

    `tags` are pairs of a tag's name and patterns of its value; `every` says that all of them must be there.
    """

    name: str
    values: Texts = ()
    flags: frozenset[bool] = frozenset()
    tags: tuple[tuple[str, Texts], ...] = ()
    every: bool = False
    number: int = 0

    def holds(self, facts: Facts) -> bool:
        return _HOLDS[self.name](self, facts)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, ready to be asked: its tests, the name of the route that serves the request if all hold, and `when` as
    it is stored, for people (`routing.condition_lines.when_text`)."""

    tests: tuple[Test, ...]
    route: str
    when: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def missed(self, facts: Facts) -> str:
        """The name of the first test that does not hold; "" if the condition does."""
        return next((test.name for test in self.tests if not test.holds(facts)), "")


def compiled(value: Sequence[Mapping[str, Any]]) -> tuple[Condition, ...]:
    """Stored conditions, ready to be asked. Raises ValueError for what `problems_of` would have refused."""
    if problem := first_problem(value):
        raise ValueError(problem)
    return tuple(
        Condition(tuple(_test(*each) for each in entry["when"].items()), entry["route"], entry["when"])
        for entry in canonical(value)
    )


def canonical(value: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Conditions without problems in the one way in which they are stored: texts as lists, tests in their order."""
    return [
        {
            "when": {name: _canonical(name, entry["when"][name]) for name in TESTS if name in entry["when"]},
            "route": str(entry["route"]),
        }
        for entry in value
    ]


def routes_of(value: object) -> list[str]:
    """The names of the routes that conditions lead to, in their order; what cannot be read counts as none."""
    entries = value if isinstance(value, list) else []
    return [str(entry.get("route", "")) for entry in entries if isinstance(entry, dict)]


def first_problem(value: object) -> str:
    """A sentence for the first thing that is wrong with conditions, or ""."""
    return next((f"{_place(path)}{text}" for path, text in problems_of(value)), "")


def problems_of(value: object) -> list[Problem]:
    """Everything that is wrong with conditions, each with the steps that lead there from the list."""
    if not isinstance(value, list | tuple):
        return [((), "conditions is a list")]
    if len(value) > MOST_CONDITIONS:
        return [((), f"a route has at most {MOST_CONDITIONS} conditions")]
    return [problem for index, entry in enumerate(value) for problem in _of_entry(entry, (index,))]


def unknown(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is none of `known`: the closest of them, or all."""
    names = list(known)
    close = difflib.get_close_matches(name[:100], names, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"


def _place(path: Path) -> str:
    if not path:
        return ""
    steps = ".".join(str(step + 1 if isinstance(step, int) else step) for step in path[1:] if step != "when")
    return f"Condition {int(path[0]) + 1}{f', {steps}' if steps else ''}: "


def _of_entry(entry: object, path: Path) -> list[Problem]:
    if not isinstance(entry, Mapping):
        return [(path, "not a mapping of when and route")]
    problems = [
        ((*path, str(name)), f"unknown key; {unknown(str(name), ('when', 'route'))}")
        for name in entry
        if name not in ("when", "route")
    ]
    route = entry.get("route")
    if not isinstance(route, str) or not route:
        problems.append(((*path, "route"), "required" if route in (None, "") else "not the name of a route"))
    when = entry.get("when")
    if when is None:
        return [*problems, ((*path, "when"), "required")]
    if not isinstance(when, Mapping):
        return [*problems, ((*path, "when"), "not a mapping of tests")]
    return problems + _of_when(when, (*path, "when"))


def _of_when(when: Mapping[Any, Any], path: Path) -> list[Problem]:
    if not when:
        text = f"it has no test, so it would hold for every request; give at least one of {', '.join(TESTS)}"
        return [(path, text)]
    problems: list[Problem] = []
    for name, value in when.items():
        here = (*path, str(name))
        if name not in TESTS:
            problems.append((here, f"unknown test; {unknown(str(name), TESTS)}"))
        elif name in NUMBERS:
            problems += [(here, text) for text in _number_problem(value)]
        elif name == "tag" and isinstance(value, Mapping):
            problems += _of_tags(value, here)
        else:
            problems += _of_values(name, value, here)
    above, below = (when.get(name) for name in NUMBERS)
    if not problems and above is not None and below is not None and above + 1 >= below:
        problems.append((path, f"no number of tokens is above {above} and below {below}"))
    return problems


def _number_problem(value: object) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int):
        return ["not a whole number of tokens"]
    return [] if 0 <= value <= MOST_TOKENS else [f"not between 0 and {MOST_TOKENS}"]


def _of_tags(value: Mapping[Any, Any], path: Path) -> list[Problem]:
    if not value:
        return [(path, "it names no tag")]
    if len(value) > MOST_VALUES:
        return [(path, f"more than {MOST_VALUES} tags")]
    problems: list[Problem] = []
    for name, each in value.items():
        if not isinstance(name, str) or not name or len(name) > LONGEST_TEXT:
            problems.append((path, "a tag's name is a text that is not empty"))
        else:
            problems += _of_values("tag", each, (*path, name), empty=True)
    return problems


def _of_values(name: str, value: object, path: Path, *, empty: bool = False) -> list[Problem]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values:
        return [(path, "an empty list: it would never hold")]
    if len(values) > MOST_VALUES:
        return [(path, f"more than {MOST_VALUES} values")]
    listed = isinstance(value, list | tuple)
    found = ((index, _value_problem(name, each, empty)) for index, each in enumerate(values))
    return [((*path, index) if listed else path, text) for index, text in found if text]


def _value_problem(name: str, value: object, empty: bool) -> str:
    if name in FLAGS and isinstance(value, bool):
        return ""
    if name == "stream":
        return "neither true nor false"
    if not isinstance(value, str):
        return "not a text; write it in quotes" if isinstance(value, bool | int | float) else "not a text"
    if "\0" in value:
        return "a text cannot have a NUL character"
    if not value and not empty:
        return "an empty text: it would never hold"
    if len(value) > LONGEST_TEXT:
        return f"longer than {LONGEST_TEXT} characters"
    if name == "format" and not any(matches(value, known) for known in FORMATS):
        return f"not a format of clients; {unknown(value, FORMATS)}"
    if name == "field" and ("*" in value or value.count(".") > 1 or value.startswith(".") or value.endswith(".")):
        return "not the name of a field: write it without *, and at most one level deep, such as thinking.type"
    return ""


def _canonical(name: str, value: Any) -> Any:
    if name in NUMBERS:
        return int(value)
    if isinstance(value, Mapping):
        return {str(tag): _listed(each) for tag, each in value.items()}
    values = _listed(value)
    return values[0] if name in FLAGS and len(values) == 1 and isinstance(values[0], bool) else values


def _listed(value: Any) -> list[Any]:
    values = value if isinstance(value, list | tuple) else [value]
    return [each if isinstance(each, bool) else str(each) for each in values]


def _test(name: str, value: Any) -> Test:
    if name in NUMBERS:
        return Test(name, number=value)
    if isinstance(value, Mapping):
        return Test(name, tags=tuple((tag, tuple(each)) for tag, each in value.items()), every=True)
    values = _listed(value)
    if name == "tag":
        pairs = (text.partition("=") for text in values)
        return Test(name, tags=tuple((tag, (wanted,) if equals else ("*",)) for tag, equals, wanted in pairs))
    flags = frozenset(each for each in values if isinstance(each, bool))
    return Test(name, tuple(each for each in values if not isinstance(each, bool)), flags)


def _any(patterns: Texts, *names: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns for name in names)


def _tag(test: Test, facts: Facts) -> bool:
    held = (tag in facts.tags and _any(values, facts.tags[tag]) for tag, values in test.tags)
    return all(held) if test.every else any(held)


def _session(test: Test, facts: Facts) -> bool:
    return bool(facts.session_id) in test.flags or (bool(facts.session_id) and _any(test.values, facts.session_id))


_HOLDS: dict[str, Callable[[Test, Facts], bool]] = {
    "team": lambda test, facts: _any(test.values, facts.team),
    "project": lambda test, facts: _any(test.values, facts.project),
    "tag": _tag,
    "key": lambda test, facts: _any(test.values, facts.key, facts.key_prefix),
    "format": lambda test, facts: _any(test.values, facts.format),
    "session": _session,
    "stream": lambda test, facts: facts.stream in test.flags,
    "beta": lambda test, facts: _any(test.values, *facts.betas),
    "model": lambda test, facts: _any(test.values, facts.model, facts.plain_model),
    "prompt_tokens_above": lambda test, facts: facts.prompt_tokens is not None and facts.prompt_tokens > test.number,
    "prompt_tokens_below": lambda test, facts: facts.prompt_tokens is not None and facts.prompt_tokens < test.number,
    "field": lambda test, facts: any(facts.has_field(name) for name in test.values),
}
