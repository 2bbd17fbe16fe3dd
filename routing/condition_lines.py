"""Conditions as people write them, one on a line, and back without a difference. Pure.

    team=research,apps stream=true -> sonnet-eu
    tag.cost_center=4711 model="claude opus","x" -> other

A value with a space, a comma or a quote is written in quotes, as in JSON.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from routing.conditions import FLAGS, NUMBERS, TESTS, canonical, problems_of, unknown

_NAME = re.compile(r"[A-Za-z_]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_BARE = re.compile(r'(?:(?!->)[^\s,"])+')
_TAG_NAME = re.compile(r'(?:(?!->)[^\s,"=])+')
_LINE_END = re.compile(r"\r\n|\r|\n")
_SPACE = re.compile(r"\s*")
_FLAGS = {"true": True, "false": False}


class BadLines(ValueError):
    """Lines that are no conditions; `sentences` say what is wrong, each with its line."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = tuple(sentences)


def read_lines(text: str) -> list[dict[str, Any]]:
    """The conditions, checked and as they are stored. Empty lines are passed over. Raises `BadLines`."""
    found: list[dict[str, Any]] = []
    numbers: list[int] = []
    wrong: list[str] = []
    for number, line in enumerate(_LINE_END.split(text), start=1):
        if not line.strip():
            continue
        try:
            found.append(_Line(line.strip()).condition())
            numbers.append(number)
        except _Wrong as error:
            wrong.append(f"Line {number}: {error}")
    if wrong:
        raise BadLines(wrong)
    for path, text_ in problems_of(found):
        place = f"Line {numbers[int(path[0])]}" if path else "In all"
        test = next((str(step) for step in path[2:3]), "")
        wrong.append(f"{place}{f', {test}' if test else ''}: {_ended(text_)}")
    if wrong:
        raise BadLines(wrong)
    return canonical(found)


def written(value: Sequence[Mapping[str, Any]]) -> str:
    """Stored conditions as lines."""
    return "\n".join(line_of(each["when"], each["route"]) for each in canonical(value))


def line_of(when: Mapping[str, Any], route: str) -> str:
    """One condition as a line."""
    return f"{when_text(when)} -> {_quoted(route, _BARE)}"


def when_text(when: Mapping[str, Any]) -> str:
    """The tests of a condition as they stand in its line."""
    return " ".join(part for name in TESTS if name in when for part in _written(name, when[name]))


def _written(name: str, value: Any) -> list[str]:
    if name == "tag" and isinstance(value, Mapping):
        return [f"tag.{_quoted(tag, _TAG_NAME)}={_values(name, each)}" for tag, each in value.items()]
    return [f"{name}={_values(name, value)}"]


def _values(name: str, value: Any) -> str:
    return ",".join(_value(name, each) for each in (value if isinstance(value, list | tuple) else [value]))


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return json.dumps(value) if name in FLAGS and value in _FLAGS else _quoted(value, _BARE)


def _quoted(text: str, bare: re.Pattern[str]) -> str:
    return text if bare.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith("?") else f"{sentence}."


class _Wrong(Exception):
    """What is wrong with one line, without its number."""


class _Line:
    """Reads one line from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def condition(self) -> dict[str, Any]:
        when: dict[str, Any] = {}
        while not self._took("->"):
            if self.at >= len(self.text):
                raise _Wrong(f"it does not say where to: end it with -> and the name of a route. ({self.text[:80]})")
            self._test(when)
        route = self._text("the name of a route after ->", _BARE)
        self._space()
        if self.at < len(self.text):
            raise _Wrong(
                f"after the route's name stands {self.text[self.at :][:40]!r}; one condition ends with one route."
            )
        return {"when": when, "route": route}

    def _test(self, when: dict[str, Any]) -> None:
        found = _NAME.match(self.text, self.at)
        name = found.group() if found else ""
        if name not in TESTS:
            shown = name or self.text[self.at :][:20]
            raise _Wrong(f"{shown!r} is not a test; {_ended(unknown(shown, TESTS))}")
        self.at += len(name)
        tag = ""
        if name == "tag" and self._took("."):
            tag = self._text("a tag's name after tag.", _TAG_NAME)
        if not self._took("="):
            raise _Wrong(f"after {name} comes = and a value, such as {_EXAMPLES.get(name, f'{name}=…')}.")
        values = [self._one(name)]
        while self._took(","):
            values.append(self._one(name))
        self._space()
        self._put(when, name, tag, values)

    def _put(self, when: dict[str, Any], name: str, tag: str, values: list[Any]) -> None:
        if tag:
            tags = when.setdefault("tag", {})
            if not isinstance(tags, dict):
                raise _Wrong(_TWO_KINDS)
            if tag in tags:
                raise _Wrong(f"tag.{tag} stands there twice; put its values into one list: tag.{tag}=a,b.")
            tags[tag] = values
        elif name == "tag" and isinstance(when.get(name), dict):
            raise _Wrong(_TWO_KINDS)
        elif name in when:
            raise _Wrong(f"{name} stands there twice; put its values into one list: {name}=a,b.")
        else:
            when[name] = values[0] if name in NUMBERS and len(values) == 1 else values

    def _one(self, name: str) -> Any:
        self._space()
        quoted = self.text.startswith('"', self.at)
        text = self._text(f"a value of {name}", _BARE)
        if name in NUMBERS and text.isascii() and text.isdigit() and len(text) < 20:
            return int(text)
        if name in FLAGS and not quoted:
            return _FLAGS.get(text.lower(), text)
        return text

    def _text(self, what: str, bare: re.Pattern[str]) -> str:
        self._space()
        if self.text.startswith('"', self.at):
            found = _QUOTED.match(self.text, self.at)
            if found is None:
                raise _Wrong(f"a quote is opened and not closed: {self.text[self.at :][:40]}")
            self.at = found.end()
            try:
                return str(json.loads(found.group()))
            except ValueError:
                raise _Wrong(
                    f'{found.group()[:40]} cannot be read: after \\ comes ", \\, n, t or u and four digits.'
                ) from None
        found = bare.match(self.text, self.at)
        if found is None:
            rest = self.text[self.at :][:20]
            raise _Wrong(f"{what} is missing{f' before {rest!r}' if rest else ' at the end'}.")
        self.at = found.end()
        return found.group()

    def _took(self, sign: str) -> bool:
        """Whether `sign` comes next, spaces aside; it is passed then."""
        self._space()
        if not self.text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True

    def _space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at


_TWO_KINDS = "tag= and tag.NAME= cannot stand in one condition; write all tags as tag.NAME=."
_EXAMPLES = {
    "team": "team=research,apps",
    "project": "project=default",
    "tag": "tag=cost_center=4711",
    "key": "key=gw_Ab12Cd34",
    "format": "format=bedrock",
    "session": "session=true",
    "stream": "stream=true",
    "beta": "beta=context-1m-*",
    "field": "field=thinking",
    "model": "model=claude-opus-*",
    "prompt_tokens_above": "prompt_tokens_above=200000",
    "prompt_tokens_below": "prompt_tokens_below=1000",
}
# What each test asks, and an example of it: the legend beside the form.
LEGEND: tuple[tuple[str, str, str], ...] = (
    ("team", _EXAMPLES["team"], "the key's team"),
    ("project", _EXAMPLES["project"], "the key's project"),
    ("tag", "tag=batch,env=prod", "the key has one of these tags: a name, or a name and a value"),
    ("tag.NAME", "tag.env=prod,dev tag.region=eu-*", "the key has each of these tags, with one of the values"),
    ("key", _EXAMPLES["key"], "the key's name or prefix"),
    ("format", _EXAMPLES["format"], "what the client speaks: anthropic, bedrock or vertex"),
    ("session", _EXAMPLES["session"], "whether the request tells its session, or the session's id"),
    ("stream", _EXAMPLES["stream"], "whether the answer is streamed"),
    ("beta", _EXAMPLES["beta"], "one of the beta values that the request carries"),
    (
        "field",
        "field=thinking,output_config.effort",
        "a field at the top of the body is there and not null, or one below it",
    ),
    ("model", _EXAMPLES["model"], "the name as the client asked for it"),
    (
        "prompt_tokens_above",
        _EXAMPLES["prompt_tokens_above"],
        "more tokens than this, by estimate: the body's bytes / 4",
    ),
    ("prompt_tokens_below", _EXAMPLES["prompt_tokens_below"], "fewer tokens than this"),
)
