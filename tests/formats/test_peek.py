"""What is read from a body, and the proof that only the right `model` is touched."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.formats.anthropic import parse, same_format
from routing.formats.peek import BadBody

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["model", "mo", "x"]) | st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)
SPACE = st.text(alphabet=" \t\r\n", max_size=3)


def sent(body: bytes, model: str) -> bytes:
    return same_format(parse("messages", [], body), model, b"", b"").body


@given(
    st.lists(st.tuples(st.text().filter(lambda key: key != "model"), JSON), max_size=5),
    JSON,
    st.integers(0, 5),
    SPACE,
    st.booleans(),
)
def test_exactly_the_model_is_replaced(fields: Any, after: Any, where: int, space: str, ascii_only: bool) -> None:
    parts = [
        f"{json.dumps(k, ensure_ascii=ascii_only)}{space}:{space}{json.dumps(v, ensure_ascii=ascii_only)}"
        for k, v in fields
    ]
    parts = [part for part in parts if "\\ud" not in part]
    parts.insert(min(where, len(parts)), f'"model"{space}:{space}"asked"')
    body = f"{space}{{{space}{f'{space},{space}'.join(parts)}{space}}}{space}"
    try:
        data = body.encode()
    except UnicodeEncodeError:
        return
    mark = f'"model"{space}:{space}"asked"'
    # The top-level one is the only member that was put there by this test; find it by position, not by search.
    index = min(where, len(parts) - 1)
    before = f"{space}{{{space}" + "".join(f"{part}{space},{space}" for part in parts[:index])
    expected = (before + mark.replace('"asked"', '"served-by"') + body[len(before) + len(mark) :]).encode()
    if any(part.startswith('"stream"') for part in parts):
        return
    assert sent(data, "served-by") == expected
    assert sent(data, "asked") == data


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","model":"a"}',
        b'{"mod\\u0065l":"a","model":"b"}',
        b'{"\\u006dodel":"a","x":{"model":"b"},"model":"b"}',
    ],
)
def test_a_doubled_model_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody, match="more than once"):
        sent(body, "x")


def test_an_escaped_key_is_found() -> None:
    assert sent(b'{"a":"model","mod\\u0065l":"b"}', "x") == b'{"a":"model","mod\\u0065l":"x"}'


def test_many_nested_keys_do_not_hide_the_right_one() -> None:
    inner = b",".join([b'{"model":"b"}'] * 200)
    body = b'{"messages":[' + inner + b'],"model":"b"}'
    assert sent(body, "x") == b'{"messages":[' + inner + b'],"model":"x"}'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "not valid JSON"),
        (b'{"model":"a"}x', "not valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b'"model"', "must be a JSON object"),
        (b'{"model":"a","x":"\xff"}', "not UTF-8"),
        (b'{"x":' + b"[" * 100_000, "nested too deeply"),
        (b'{"x":1}', "model: Field required"),
        (b'{"model":3}', "valid string"),
        (b'{"model":null}', "valid string"),
        (b'{"model":""}', "at least 1 character"),
        (b'{"model":"a\\u0000b"}', "control character"),
        (b'{"model":"a","stream":"yes"}', "valid boolean"),
        (b'{"model":"a","x":NaN}', "not valid JSON"),
    ],
)
def test_what_is_not_a_request_is_refused_in_words(body: bytes, words: str) -> None:
    with pytest.raises(BadBody, match=words):
        parse("messages", [], body)


def test_session_and_agents_are_read() -> None:
    inner = json.dumps({"device_id": "d", "session_id": "from-metadata"})
    body = json.dumps({"model": "a", "metadata": {"user_id": inner}}).encode()
    assert parse("messages", [], body).session_id == "from-metadata"
    headers = [(b"x-claude-code-session-id", b"from-header"), (b"x-claude-code-agent-id", b"agent")]
    request = parse("messages", headers, body)
    assert (request.session_id, request.agent_id) == ("from-header", "agent")
