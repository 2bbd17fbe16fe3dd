"""What the gateway itself refuses, as clients of each format get it."""

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.formats.golden import FORMATS
from tests.harness import KEYS, Client, Gateway
from tests.harness.formats import name_for
from tests.pairs.asking import ask, asked, assert_shape
from tests.pairs.clients import ask_plainly, encoded, plain, plain_count
from tests.pairs.conftest import Upstreams

EACH_CLIENT = pytest.mark.parametrize("client", FORMATS)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@EACH_CLIENT
@pytest.mark.parametrize(
    "key", ["", "wrong-key-of-nobody-0000000001", KEYS["expired"], KEYS["disabled"], KEYS["elsewhere"]]
)
def test_no_usable_key(client: str, key: str, gateway: Gateway, upstreams: Upstreams) -> None:
    answer = ask(gateway, client, name_for(client, client), asked(), key=key)
    assert_shape(answer, client, 401, "authentication_error", "UnrecognizedClientException")
    assert answer.value("x-should-retry") == "false"
    assert upstreams[client].received == []


@EACH_CLIENT
@STREAMED
def test_model_that_is_not_allowed(client: str, stream: bool, gateway: Gateway, upstreams: Upstreams) -> None:
    answer = ask(gateway, client, name_for(client, VERTEX), asked(), stream=stream, key=KEYS["narrow"])
    text = assert_shape(answer, client, 400, "policy_blocked", "ValidationException")
    assert name_for(client, VERTEX) in text
    record = gateway.record(answer.value("request-id"))
    assert (record["outcome"], record["reason"]) == ("refused", "model_not_allowed")


@EACH_CLIENT
def test_unknown_model(client: str, gateway: Gateway) -> None:
    answer = ask(gateway, client, "claude-unheard-of", asked())
    text = assert_shape(answer, client, 404, "not_found_error", "ResourceNotFoundException")
    assert "claude-unheard-of" in text


@EACH_CLIENT
def test_too_large(client: str, gateway: Gateway) -> None:
    path, _ = plain(client, name_for(client, client), asked())
    with Client(gateway.port) as connection:
        headers = [("authorization", f"Bearer {KEYS['main']}"), ("content-length", "40000000")]
        connection.request("POST", path, headers)
        answer = connection.reply()
    assert_shape(answer, client, 413, "request_too_large", "ValidationException")


BAD_BODIES = {
    "empty": b"",
    "broken": b'{"messages": [',
    "a list": b"[]",
    "not UTF-8": b'{"model": "x", "messages": "\xff"}',
    "too deep": b'{"model":"claude-via-bedrock-20260101","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@EACH_CLIENT
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_bad_bodies(client: str, body: bytes, gateway: Gateway, upstreams: Upstreams) -> None:
    for upstream in FORMATS:
        path, _ = plain(client, name_for(client, upstream), asked())
        answer = ask_plainly(gateway.port, path, body)
        assert_shape(answer, client, 400, "invalid_request_error", "ValidationException")
    assert all(provider.received == [] for provider in upstreams.providers.values())


@pytest.mark.parametrize(
    "counted",
    [
        b"{}",
        b'{"input": {}}',
        b'{"input": {"invokeModel": {}}}',
        b'{"input": {"invokeModel": {"body": 7}}}',
        b'{"input": {"invokeModel": {"body": "not base64!"}}}',
        b'{"input": {"invokeModel": {"body": "e30"}}}',
        b'{"input": {"invokeModel": {"body": "W10="}}}',
        b'{"input": {"invokeModel": {"body": "eyI="}}}',
    ],
)
@pytest.mark.parametrize("upstream", [ANTHROPIC, VERTEX])
def test_bad_counts(counted: bytes, upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    path, _ = plain_count(BEDROCK, name_for(BEDROCK, upstream), asked())
    answer = ask_plainly(gateway.port, path, counted)
    assert answer.status in (400, 501), answer.body
    assert_shape(answer, BEDROCK, answer.status)
    assert upstreams[upstream].received == []


def test_bodies_that_clients_write_by_hand(gateway: Gateway) -> None:
    path, _ = plain(ANTHROPIC, "x", asked())
    body = encoded({"model": 7, **asked()})
    assert_shape(ask_plainly(gateway.port, path, body), ANTHROPIC, 400, "invalid_request_error")
