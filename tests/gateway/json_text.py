"""Strategies for JSON as text: any order, any white space, any spelling of strings and numbers.

They write the text themselves and know where `model` stands in it, so they need no reader to say what should arrive.
"""

from dataclasses import dataclass

from hypothesis import strategies as st

SPACE = st.text(" \t\r\n", max_size=3)
_PLAIN = st.characters(exclude_categories=["Cs"], exclude_characters='"\\', min_codepoint=0x20)
_ESCAPES = st.sampled_from(
    [
        '\\"',
        "\\\\",
        "\\/",
        "\\b",
        "\\f",
        "\\n",
        "\\r",
        "\\t",
        "\\u00e9",
        "\\u00E9",
        "\\ud83d\\ude00",
        "\\u0000",
        "\\u2028",
    ]
)
_TRAPS = st.sampled_from(['\\"model\\"', "model", '\\"model\\":\\"x\\"', "{", "}", "]", ",", ":", "\\\\", "\\\\\\\\"])
STRING = st.lists(st.one_of(_PLAIN, _PLAIN, _ESCAPES, _TRAPS), max_size=8).map(lambda parts: '"' + "".join(parts) + '"')
NUMBER = st.one_of(
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(["1e5", "1.0", "-0", "-0.0", "1E+2", "123456789012345678901234567890", "0.1000"]),
)
SCALAR = st.one_of(STRING, NUMBER, st.sampled_from(["true", "false", "null"]))


def _joined(opening: str, closing: str, parts: list[str], spaces: list[str]) -> str:
    return opening + ",".join(f"{space}{part}{space}" for part, space in zip(parts, spaces, strict=False)) + closing


def _array(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    spaces = st.lists(SPACE, min_size=4, max_size=4)
    return st.builds(lambda parts, gaps: _joined("[", "]", parts, gaps), st.lists(values, max_size=4), spaces)


def _member(key: str, value: str, before: str, after: str) -> str:
    return f"{key}{before}:{after}{value}"


def _object(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    keys = st.one_of(STRING, st.just('"model"'), st.just('"mod\\u0065l"'))
    members = st.builds(_member, keys, values, SPACE, SPACE)
    spaces = st.lists(SPACE, min_size=4, max_size=4)
    return st.builds(lambda parts, gaps: _joined("{", "}", parts, gaps), st.lists(members, max_size=4), spaces)


VALUE = st.recursive(SCALAR, lambda inner: st.one_of(_array(inner), _object(inner)), max_leaves=12)


@st.composite
def _escaped(draw: st.DrawFn, text: str) -> str:
    """`text` as a JSON string in which some characters are written as escapes."""
    parts = [f"\\u{ord(char):04x}" if draw(st.integers(0, 9)) == 0 else char for char in text]
    return '"' + "".join(parts) + '"'


@dataclass(frozen=True, slots=True)
class Body:
    """A request body around the value of its `model`."""

    before: bytes
    model: bytes
    after: bytes

    @property
    def text(self) -> bytes:
        return self.before + self.model + self.after

    def renamed(self, model: str) -> bytes:
        return self.before + b'"' + model.encode() + b'"' + self.after


@st.composite
def bodies(draw: st.DrawFn, model: str) -> Body:
    """Any JSON object with one top-level `model`. It asks for no stream."""
    # A long prefix of its own keeps each other key apart from `model` and `stream`, and from its neighbours.
    others = draw(st.lists(st.tuples(STRING, VALUE), max_size=6))
    members = []
    for index, (key, value) in enumerate(others):
        members.append(_member(f'"k{index}_{key[1:]}', value, draw(SPACE), draw(SPACE)))
    members += draw(st.lists(st.sampled_from(['"stream":false', '"max_tokens": 1', '"messages":[]']), unique=True))
    members = draw(st.permutations(members))
    at = draw(st.integers(0, len(members)))
    spelled = draw(st.one_of(st.just(f'"{model}"'), _escaped(model)))
    head = ",".join([*members[:at], ""]) if at else ""
    tail = ",".join(["", *members[at:]]) if at < len(members) else ""
    before = f'{draw(SPACE)}{{{head}{draw(SPACE)}"model"{draw(SPACE)}:{draw(SPACE)}'
    after = f"{draw(SPACE)}{tail}{draw(SPACE)}}}{draw(SPACE)}"
    return Body(before.encode(), spelled.encode(), after.encode())
