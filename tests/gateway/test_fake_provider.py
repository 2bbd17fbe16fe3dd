"""The fake provider complains of what it must complain of; a test that relies on it relies on this."""

import http.client
import json
from collections.abc import Iterator

import pytest

from tests.fake_provider import Die, Expected, FakeProvider, Gate, Hang, Repeat, read_stream, reply, stream
from tests.gateway.bodies import ask
from tests.harness import UPSTREAM_CREDENTIAL, Client

GOOD = [("x-api-key", UPSTREAM_CREDENTIAL), ("anthropic-version", "2023-06-01"), ("content-type", "application/json")]
KEY = GOOD[0]
SECRET = "a-key-of-a-caller-of-the-gateway"


@pytest.fixture
def strict() -> Iterator[FakeProvider]:
    with FakeProvider(expected=Expected(secrets={SECRET})) as provider:
        yield provider


def post(provider: FakeProvider, headers: list[tuple[str, str]], body: bytes | None = None) -> int:
    with Client(provider.port) as client:
        client.request("POST", "/v1/messages", headers, json.dumps(ask()).encode() if body is None else body)
        return client.reply().status


def test_clean_request_is_answered(strict: FakeProvider) -> None:
    assert post(strict, [*GOOD, ("x-claude-code-session-id", "s"), ("connection", "keep-alive")]) == 200
    assert strict.violations == []


OBJECTIONABLE = {
    "no credential": [*GOOD[1:]],
    "wrong credential": [("x-api-key", "other"), *GOOD[1:]],
    "doubled credential": [KEY, *GOOD],
    "another carrier beside it": [*GOOD, ("authorization", "Bearer x")],
    "a caller's key": [*GOOD, ("x-anything", f"<{SECRET}>")],
    "te": [*GOOD, ("te", "trailers")],
    "upgrade": [*GOOD, ("upgrade", "h2c")],
    "trailer": [*GOOD, ("trailer", "x")],
    "proxy": [*GOOD, ("proxy-authorization", "x")],
    "connection names another": [*GOOD, ("connection", "keep-alive, x-a")],
    "hint": [*GOOD, ("x-claude-code-prompt-id", "1")],
    "expect": [*GOOD, ("expect", "100-continue")],
    "forwarded for": [*GOOD, ("x-forwarded-for", "10.0.0.1")],
    "via": [*GOOD, ("via", "1.1 x")],
    "cookie": [*GOOD, ("cookie", "a=b")],
    "compression": [*GOOD, ("accept-encoding", "gzip")],
    "coded body": [*GOOD, ("content-encoding", "gzip")],
    "no version": [GOOD[0], GOOD[2]],
    "two versions": [*GOOD, GOOD[1]],
    "no content type": GOOD[:2],
    "another content type": [*GOOD[:2], ("content-type", "text/plain")],
    "two lengths": [*GOOD, ("content-length", "1")],
    "length and chunked": [*GOOD, ("transfer-encoding", "chunked")],
    "two hosts": [*GOOD, ("host", "example.org")],
}


@pytest.mark.parametrize("headers", OBJECTIONABLE.values(), ids=OBJECTIONABLE.keys())
def test_objectionable_head_is_a_violation(headers: list[tuple[str, str]], strict: FakeProvider) -> None:
    assert post(strict, headers) >= 400
    assert strict.violations


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model":"\xff"}', b"[" * 100_000])
def test_objectionable_body_is_a_violation(body: bytes, strict: FakeProvider) -> None:
    assert post(strict, GOOD, body) == 500
    assert strict.violations


def test_bytes_behind_the_body_are_a_violation(strict: FakeProvider) -> None:
    with Client(strict.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}x")
        assert client.reply().status == 400
    assert "after the end" in strict.violations[0]


def test_half_a_request_is_a_violation(strict: FakeProvider) -> None:
    with Client(strict.port) as client:
        client.request("POST", "/v1/messages", [*GOOD, ("content-length", "100")])
        client.send(b"{")
        client.leave()
    from tests.harness import wait_until

    wait_until(lambda: strict.violations)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "role"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_wrong_requests_get_the_apis_own_refusal(change: dict[str, object], text: str, strict: FakeProvider) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", strict.port)
    connection.request("POST", "/v1/messages", json.dumps({**ask(), **change}), dict(GOOD))
    response = connection.getresponse()
    assert response.status == 400
    assert text in json.loads(response.read())["error"]["message"]
    connection.close()


def test_stream_has_as_many_events_as_asked_for(strict: FakeProvider) -> None:
    with Client(strict.port) as client:
        client.request("POST", "/v1/messages", GOOD, json.dumps(ask("events=200", stream=True)).encode())
        events = read_stream(client.reply().body)
    assert len(events) == 200
    assert [kind for kind, _ in events[:2]] == ["message_start", "content_block_start"]
    assert events[-1][0] == "message_stop"


def test_gates_deaths_and_back_pressure(strict: FakeProvider) -> None:
    gate = Gate()
    strict.script(
        stream(b"one", gate, b"two"), stream(b"one", Die("reset")), stream(Repeat(b"x" * 10000)), reply().after(Hang())
    )
    with Client(strict.port) as client:
        client.request("POST", "/v1/messages", GOOD, json.dumps(ask()).encode())
        client.head()
        assert client.until(b"one") == b"one"
        assert gate.reached.wait(5)
        gate.open()
        assert client.rest() == b"two"
        client.request("POST", "/v1/messages", GOOD, json.dumps(ask()).encode())
        with pytest.raises((ConnectionResetError, EOFError)):
            client.reply()
    with Client(strict.port, receive_buffer=4096) as client:
        client.request("POST", "/v1/messages", GOOD, json.dumps(ask()).encode())
        assert strict.wait_received(3)[-1].stalled.wait(5)
    strict.wait_closed(strict.received[-1])
    with Client(strict.port) as client:
        client.request("POST", "/v1/messages", GOOD, json.dumps(ask()).encode())
        strict.wait_received(4)
        client.leave()
    strict.wait_closed(strict.received[-1])
    assert strict.received[0].connection == strict.received[1].connection
    assert strict.violations == []
