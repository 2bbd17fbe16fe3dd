"""A batch is edited in its requests' models and nowhere else; its results are counted, cut anywhere."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.formats.batch import rename_models, shown, with_results_url
from routing.formats.batch_results import ResultsMeter
from routing.formats.peek import BadBody
from tests.gateway.json_text import SPACE, Body, bodies


def renamed(body: bytes, to: str = "served") -> bytes:
    return rename_models(body, lambda index, model: f"{to}-{index}" if model == "asked" else model)


@given(st.lists(bodies("asked"), min_size=1, max_size=4), st.lists(SPACE, min_size=12, max_size=12), st.booleans())
def test_exactly_the_models_of_the_requests_are_replaced(params: list[Body], gaps: list[str], first: bool) -> None:
    space = iter(gaps * 9)

    def text(inner: list[bytes]) -> bytes:
        items = []
        gap = iter(gaps * 9)
        for each in inner:
            id_ = f'{next(gap)}"custom_id":"asked"'.encode()
            member = f'"params"{next(gap)}:{next(gap)}'.encode() + each
            parts = (member, id_) if first else (id_, member)
            items.append(
                b"{" + (next(gap).encode() + b"," + next(gap).encode()).join(parts) + next(gap).encode() + b"}"
            )
        between = next(gap).encode() + b"," + next(gap).encode()
        array = b"[" + next(gap).encode() + between.join(items) + next(gap).encode() + b"]"
        return b'{"model":"asked","x":{"requests":[{"params":{"model":"asked"}}]},"requests":' + array + b',"y":1}'

    lead = next(space).encode()
    body = lead + text([each.text for each in params])
    expected = lead + text([each.renamed(f"served-{index}") for index, each in enumerate(params)])
    assert renamed(body) == expected
    assert rename_models(body, lambda _, model: model) is body


def with_params(params: bytes) -> bytes:
    return b'{"requests":[{"custom_id":"a","params":{"model":"asked"}},{"params":' + params + b"}]}"


@pytest.mark.parametrize(
    "body",
    [
        b'{"requests":[{"params":{"model":"asked"}}],"requests":[]}',
        b'{"requests":[{"params":{"model":"asked"}}],"requests":[{"params":{"model":"asked"}}]}',
        b'{"req\\u0075ests":[{"params":{"model":"other"}}],"requests":[{"params":{"model":"asked"}}]}',
        b'{"requests":[{"params":{"model":"asked"},"params":{"model":"other"}}]}',
        with_params(b'{"model":"other","model":"asked"}'),
        with_params(b'{"model":"asked","model":"asked"}'),
        with_params(b'{"mod\\u0065l":"other","model":"asked"}'),
        with_params(b'{"model":"asked","x":1,"\\u006dodel":"other"}'),
    ],
)
def test_a_key_that_stands_twice_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody, match="more than once"):
        renamed(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"[]", "should be an object"),
        (b"{", "not valid JSON"),
        (b'{"requests":[]} x', "not valid JSON"),
        (b"{}", "requests: Field required"),
        (b'{"requests":null}', "requests: Input should be a valid list"),
        (b'{"requests":[]}', "at least 1 item"),
        (b'{"requests":[1]}', "requests.0: Input should be an object"),
        (b'{"requests":[{}]}', "requests.0.params: Field required"),
        (with_params(b"[]"), "requests.1.params: Input should be an object"),
        (with_params(b"{}"), "requests.1.params.model: Field required"),
        (with_params(b'{"model":7}'), "requests.1.params.model: Input should be a valid string"),
        (with_params(b'{"model":""}'), "requests.1.params.model: String should have"),
        (with_params(b'{"model":"a\\u0000"}'), "requests.1.params.model: has a control character"),
        (with_params(b'{"x":"\xff"}'), "not UTF-8"),
        (b'{"requests":' + b"[" * 100_000, "nested too deeply"),
        (with_params(b'{"model":"a","x":' + b"[" * 100_000), "nested too deeply|not valid JSON"),
    ],
)
def test_what_is_not_a_batch_is_refused_in_words(body: bytes, words: str) -> None:
    with pytest.raises(BadBody, match=words):
        renamed(body)


def test_an_escaped_key_and_name_are_found() -> None:
    assert renamed(with_params(b'{"mod\\u0065l" : "\\u0061sked"}')).endswith(b'{"mod\\u0065l" : "served-1"}}]}')


def test_the_results_url_and_nothing_else_is_replaced() -> None:
    answer = b'{"id":"x", "n":{"results_url":"keep"},"results_url" : "https://a/b" ,"\xc3\xa9":1.0}\n'
    expected = b'{"id":"x", "n":{"results_url":"keep"},"results_url" : "https://me/\\"x" ,"\xc3\xa9":1.0}\n'
    assert with_results_url(answer, 'https://me/"x') == expected
    for unchanged in (b'{"results_url":null}', b"{}", b"no JSON", b'"results_url"', b"", b'{"results_url":7}'):
        assert with_results_url(unchanged, "https://me") == unchanged


def test_what_is_no_batch_shows_nothing() -> None:
    assert shown(b'{"id":"a","processing_status":"ended"}').ended
    for answer in (b"", b"[]", b'{"id":7}', b"\xff", b"[" * 100_000):
        assert (shown(answer).id, shown(answer).ended) == ("", False)


def line(model: str, **usage: Any) -> bytes:
    message = {"model": model, "usage": usage, "content": [{"type": "text", "text": "é\n" * 9}]}
    return json.dumps({"custom_id": "x", "result": {"type": "succeeded", "message": message}}).encode()


LINES = [
    line("one", input_tokens=1, output_tokens=10, cache_read_input_tokens=100),
    line("two", input_tokens=2, output_tokens=20, cache_creation_input_tokens=7),
    b'{"custom_id":"y","result":{"type":"errored","error":{"type":"error"}}}',
    b'{"custom_id":"y","result":{"type":"expired"}}',
    line("one", input_tokens=4, output_tokens=40, server_tool_use={"web_search_requests": 3}),
]


@given(st.lists(st.integers(0, 2000), max_size=30), st.sampled_from([b"\n", b""]), st.sampled_from([b"\n", b"\r\n"]))
def test_results_add_up_however_they_are_cut(cuts: list[int], end: bytes, between: bytes) -> None:
    results = between.join(LINES) + end
    meter = ResultsMeter()
    marks = [0, *sorted(cuts), len(results)]
    for start, stop in pairwise(marks):
        meter.feed(results[start:stop])
    meter.finish()
    one, two = meter.usages["one"], meter.usages["two"]
    assert (one.input, one.output, one.cache_read, one.web_searches) == (5, 50, 100, 3)
    assert (two.input, two.output, two.cache_write_5m) == (2, 20, 7)
    assert (set(meter.usages), meter.lines, meter.doubtful) == ({"one", "two"}, 5, False)
    assert not one.doubtful


@pytest.mark.parametrize("bad", [b"no JSON", b"[1]", b'{"result":{"message":7}}', b"\xff\xfe", b"[" * 100_000])
def test_a_line_that_cannot_be_read_is_doubtful_and_the_rest_counts(bad: bytes) -> None:
    meter = ResultsMeter()
    meter.feed(bad + b"\n" + LINES[0])
    meter.finish()
    assert meter.doubtful
    assert meter.usages["one"].input == 1


def test_a_call_without_usage_is_doubtful() -> None:
    meter = ResultsMeter()
    meter.feed(b'{"result":{"type":"succeeded","message":{"model":"one"}}}\n')
    assert meter.usages["one"].doubtful
