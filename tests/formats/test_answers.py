"""Complete answers between formats."""

import json

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, COUNT_TOKENS, MESSAGES, VERTEX, header
from routing.formats.faults import FormatError
from routing.formats.response import translate_response
from tests.formats.golden import METRICS, NAMES, PAIRS, compact, golden


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("name", NAMES)
def test_the_golden_messages_arrive_as_they_were_on_every_pair(name: str, client: str, upstream: str) -> None:
    body = json.dumps(golden(name).message, indent=1).encode()
    reply = translate_response(upstream, client, MESSAGES, body)
    assert (reply.status, reply.body) == (200, body)
    assert header(reply.headers, b"content-type") == b"application/json"


@pytest.mark.parametrize("upstream", [ANTHROPIC, VERTEX])
def test_bedrock_clients_get_the_counts_in_headers(upstream: str) -> None:
    reply = translate_response(upstream, BEDROCK, MESSAGES, compact(golden("cache-control").message), latency_ms=42)
    assert {name.decode(): value.decode() for name, value in reply.headers} == {
        "content-type": "application/json",
        "x-amzn-bedrock-input-token-count": "3",
        "x-amzn-bedrock-output-token-count": "4",
        "x-amzn-bedrock-cache-read-input-token-count": "900",
        "x-amzn-bedrock-cache-write-input-token-count": "1500",
        "x-amzn-bedrock-invocation-latency": "42",
    }


def test_amazons_numbers_stay_behind() -> None:
    body = compact({**golden("text").message, METRICS: {"inputTokenCount": 1}})
    assert json.loads(translate_response(BEDROCK, ANTHROPIC, MESSAGES, body).body) == golden("text").message


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_counts_have_the_name_that_the_client_knows(client: str, upstream: str) -> None:
    name = {BEDROCK: "inputTokens"}
    body = compact({name.get(upstream, "input_tokens"): 17})
    reply = translate_response(upstream, client, COUNT_TOKENS, body)
    assert json.loads(reply.body) == {name.get(client, "input_tokens"): 17}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"inputTokens":"x"}', b"[" * 100_000])
def test_an_answer_that_is_none_is_a_fault_of_the_upstream(body: bytes) -> None:
    with pytest.raises(FormatError):
        translate_response(BEDROCK, ANTHROPIC, COUNT_TOKENS, body)
    if body != b"{}" and b"inputTokens" not in body:
        with pytest.raises(FormatError):
            translate_response(VERTEX, BEDROCK, MESSAGES, body)
