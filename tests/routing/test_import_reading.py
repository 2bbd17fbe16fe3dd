"""How a configuration file is read: YAML without traps, and references into the environment and files."""

from pathlib import Path
from typing import Any

import pytest

from routing.declarative.document import MOST_BYTES, read_document
from routing.declarative.problems import ConfigRefused, Problem
from routing.declarative.substitution import Substituted, escaped, substitute

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 10)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def refusal(data: bytes | str) -> str:
    with pytest.raises(ConfigRefused) as error:
        read_document(data.encode() if isinstance(data, str) else data)
    return str(error.value)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the file is empty"),
        (b"# nothing\n", "the file is empty"),
        (b"a: \xff\xfe", "the file is not UTF-8: byte 3 cannot be read"),
        (b"a: 1\x00", "not YAML: unacceptable character #x0000: special characters are not allowed"),
        (b"x" * (MOST_BYTES + 1), "the file is larger than 10 MB"),
        (
            b"a: [1, 2\nb: 3",
            "not YAML: line 2, column 2: while parsing a flow sequence, expected ',' or ']', but got ':'",
        ),
        (b"a: *b", "not YAML: line 1, column 4: found undefined alias 'b'"),
        (b"a: 1\n---\nb: 2", "not YAML: line 2, column 1: expected a single document in the stream, but found another"),
        (b"a: !!python/object/apply:os.system [ls]", "not YAML: line 1, column 4: could not determine a constructor"),
        (b"a: 2026-13-45", "the file has a value that cannot be read: month must be in 1..12"),
        (b"a: " + b"9" * 5000, "the file has a value that cannot be read: Exceeds the limit"),
        (b"a: &a [*a]", "a[0]: refers to itself"),
        (b"[" * 49 + b"1" + b"]" * 49, ""),
        (b"[" * 60 + b"]" * 60, "the file is nested more than 50 levels deep"),
        (b"[" * 100_000, "the file is nested too deeply"),
        (b"{a: 1}: 2", "a key must be a text"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(data: bytes, text: str) -> None:
    if not text:
        read_document(data)
        return
    said = refusal(data)
    assert text in said
    assert "\n" not in said


@pytest.mark.parametrize("bomb", [BOMB, MERGES])
def test_references_that_multiply_are_refused_before_they_do(bomb: str) -> None:
    assert refusal(bomb) == "the file stands for more than 500000 values"


def test_a_key_given_twice_is_refused_with_its_path_each_time() -> None:
    said = refusal("providers:\n- name: a\n  name: b\nroutes: []\nroutes: []\n")
    assert said.splitlines() == [
        "providers[0].name: given twice, again in line 3",
        "routes: given twice, again in line 5",
    ]


def test_plain_references_and_merges_of_yaml_work() -> None:
    assert read_document(b"a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}") == {
        "a": {"x": 1},
        "b": {"x": 1},
        "c": {"x": 1, "y": 2},
    }


def test_a_parse_error_does_not_quote_the_file() -> None:
    assert "sk-canary" not in refusal("a: 'sk-canary\nb: [")


def replaced(value: Any, **environ: str) -> tuple[Any, list[str]]:
    problems: list[Problem] = []
    return substitute(value, environ, problems), [str(problem) for problem in problems]


def test_references_are_replaced_inside_texts_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("  from file\n")
    value = {"a": ["x-${ONE}-${TWO}"], "b": {"c": f"${{file:{file}}}"}, "n": 1}
    assert replaced(value, ONE="1", TWO="2") == ({"a": ["x-1-2"], "b": {"c": "from file"}, "n": 1}, [])


def test_a_replaced_text_is_not_replaced_again() -> None:
    assert replaced("${ONE}", ONE="${TWO}", TWO="no") == ("${TWO}", [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${NOPE}", "a[0]: NOPE is not set in the environment"),
        ("${}", "a[0]: ${} is not a reference; write ${NAME}, ${file:/path}, or $${ for a literal ${"),
        ("${A-b}", "a[0]: ${A-b} is not a reference; write ${NAME}, ${file:/path}, or $${ for a literal ${"),
        ("x${ONE", "a[0]: ${ without its }; write $${ for a literal ${"),
        ("${file:/nowhere/at/all}", "a[0]: cannot read the file /nowhere/at/all: No such file or directory"),
        ("${file:/}", "a[0]: cannot read the file /: Is a directory"),
        ("${file:/dev/zero}", "a[0]: the file /dev/zero is larger than 1 MB"),
        ("${file:\0}", "a[0]: cannot read the file \0: not UTF-8 text"),
    ],
)
def test_a_reference_that_leads_nowhere_is_a_problem_at_its_path(text: str, said: str) -> None:
    assert replaced({"a": [text]}, ONE="1")[1] == [said]


@pytest.mark.parametrize("text", ["${ONE}", "$${ONE}", "a${b${c", "$", "$$", "}${file:/etc/passwd}"])
def test_an_escaped_text_comes_back_unchanged(text: str) -> None:
    assert replaced(escaped(text), ONE="1") == (text, [])


def test_a_replaced_text_is_known_as_such() -> None:
    assert isinstance(replaced("${ONE}", ONE="1")[0], Substituted)
    assert not isinstance(replaced("ONE", ONE="1")[0], Substituted)
