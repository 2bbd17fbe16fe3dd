"""What of an upstream's answer reaches the client: the body as it is, the headers that concern it, our own request id."""

import gzip
import json

import pytest

from tests.fake_provider import FakeProvider, error, raw, reply, stream
from tests.fake_provider.answers import EDGE_HEADERS, Framing
from tests.gateway.bodies import WHOLE, ask, assert_error, encoded, message, usage
from tests.harness import Gateway

NEVER_DOWN = [
    *(name for name, _ in EDGE_HEADERS if name != "anthropic-workspace-id"),
    "transfer-encoding-extra",
    "keep-alive",
    "proxy-authenticate",
    "x-private",
    "alt-svc",
]


@pytest.mark.parametrize("streamed", [False, True])
def test_headers_about_the_upstream_account_and_its_edge_stay_here(
    streamed: bool, gateway: Gateway, provider: FakeProvider
) -> None:
    extra = [
        ("request-id", "req_upstream_1"),
        ("connection", "keep-alive, x-private"),
        ("x-private", "1"),
        ("keep-alive", "timeout=5"),
        ("alt-svc", 'h3=":443"'),
        ("anthropic-new-header", "something to know"),
    ]
    provider.script(stream(*WHOLE, headers=extra) if streamed else reply(200, message(), extra))
    answer = gateway.post(ask(stream=streamed))
    assert answer.status == 200
    for name in NEVER_DOWN:
        if name == "server":
            assert "cloudflare" not in answer.values(name)
        else:
            assert answer.values(name) == [], name
    assert answer.value("request-id") not in ("", "req_upstream_1")
    assert answer.value("anthropic-new-header") == "something to know"
    assert answer.value("cache-control") == "no-cache"
    expected = "text/event-stream" if streamed else "application/json"
    assert answer.value("content-type").startswith(expected)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_body_arrives_as_sent(framing: Framing, gateway: Gateway, provider: FakeProvider) -> None:
    body = b'{ "id":"m",\n "usage" : {"output_tokens":3,"input_tokens":1e0, "new":[1.0]}, "x":"\\u00e9\xc3\xa9" }\n'
    provider.script(reply(200, body, framing=framing))
    answer = gateway.post(ask())
    assert (answer.status, answer.body) == (200, body)


def test_body_of_many_megabytes_arrives_as_sent(gateway: Gateway, provider: FakeProvider) -> None:
    body = encoded(message(content=[{"type": "text", "text": "long " * 4_000_000}], usage=usage(output_tokens=77)))
    provider.script(reply(200, body))
    answer = gateway.post(ask())
    assert answer.body == body
    assert gateway.record(answer.value("request-id"))["tokens"]["output"] == 77


def test_interim_answers_are_passed_over(gateway: Gateway, provider: FakeProvider) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    provider.script(reply(200, message()).after(interim))
    assert gateway.post(ask()).json == message()


def test_coded_answer_is_readable_and_counted(gateway: Gateway, provider: FakeProvider) -> None:
    coded = gzip.compress(encoded(message()))
    provider.script(reply(200, coded, [("content-encoding", "gzip")]))
    answer = gateway.post(ask())
    assert answer.status == 200
    body = gzip.decompress(answer.body) if answer.value("content-encoding") == "gzip" else answer.body
    assert json.loads(body) == message()
    assert gateway.record(answer.value("request-id"))["tokens"]["input"] == 11


def test_coded_stream_is_readable_and_counted(gateway: Gateway, provider: FakeProvider) -> None:
    coded = gzip.compress(b"".join(WHOLE))
    provider.script(stream(coded[:50], coded[50:], headers=[("content-encoding", "gzip")]))
    answer = gateway.post(ask(stream=True))
    body = gzip.decompress(answer.body) if answer.value("content-encoding") == "gzip" else answer.body
    assert body == b"".join(WHOLE)
    assert gateway.record(answer.value("request-id"))["tokens"]["output"] == 5


# Errors

ERRORS = [
    (400, "invalid_request_error"),
    (402, "billing_error"),
    (404, "not_found_error"),
    (409, "conflict_error"),
    (413, "request_too_large"),
    (422, "invalid_request_error"),
    (429, "rate_limit_error"),
    (500, "api_error"),
    (503, "api_error"),
    (504, "timeout_error"),
    (529, "overloaded_error"),
]


@pytest.mark.parametrize(("status", "kind"), ERRORS)
@pytest.mark.parametrize("streamed", [False, True])
def test_upstream_error_keeps_its_status_and_words(
    status: int, kind: str, streamed: bool, gateway: Gateway, provider: FakeProvider
) -> None:
    provider.script(reply(status, error(kind, "in the upstream's words", error_code="some_code")))
    answer = gateway.post(ask(stream=streamed))
    assert assert_error(answer, status, kind) == "in the upstream's words"
    assert answer.json["error"]["details"] == {"error_code": "some_code"}
    assert b"req_upstream" not in answer.body
    record = gateway.record(answer.value("request-id"))
    assert (record["status"], record["outcome"]) == (status, "upstream_error")
    assert record["error"] == {"type": kind, "message": "in the upstream's words"}
    assert [attempt["status"] for attempt in record["attempts"]] == [status]


def test_error_object_keeps_its_bytes(gateway: Gateway, provider: FakeProvider) -> None:
    inner = b'{"message" : "caf\\u00e9 \xe2\x98\x83",  "type":"invalid_request_error", "details":{"n":1e2,"error_code":"x"}}'
    provider.script(
        reply(400, b'{"request_id":"req_upstream_9", "type":"error","error":' + inner + b', "new": [ 1.0 ]}')
    )
    answer = gateway.post(ask())
    assert_error(answer, 400, "invalid_request_error")
    assert inner in answer.body
    assert b"[ 1.0 ]" in answer.body
    assert b"req_upstream" not in answer.body


def test_retry_after_is_passed_on_with_429(gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(
        reply(429, error("rate_limit_error", "slow down"), [("retry-after", "17"), ("x-should-retry", "true")])
    )
    answer = gateway.post(ask())
    assert (answer.status, answer.value("retry-after"), answer.value("x-should-retry")) == (429, "17", "true")


def test_refused_upstream_credential_is_not_the_callers_fault(gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(*[reply(401, error("authentication_error", "invalid x-api-key"))] * 1)
    answer = gateway.post(ask())
    # With 401 the caller's client would ask for another key of ours.
    assert answer.status >= 500
    assert_error(answer, answer.status, answer.json["error"]["type"])
    record = gateway.record(answer.value("request-id"))
    assert record["outcome"] == "upstream_error"
    assert record["attempts"][0]["status"] == 401


NOT_ENVELOPES = {
    "HTML": (b"<html><title>502 Bad Gateway</title></html>", "text/html"),
    "text": (b"upstream connect error or disconnect/reset before headers", "text/plain"),
    "empty": (b"", "text/plain"),
    "other JSON": (b'{"message": "internal"}', "application/json"),
    "JSON list": (b"[]", "application/json"),
    "broken JSON": (b'{"type":"error","error":{', "application/json"),
    "not UTF-8": (b"\xff\xfe\x00", "application/json"),
}


@pytest.mark.parametrize("status", [413, 500, 502])
@pytest.mark.parametrize(("body", "content_type"), NOT_ENVELOPES.values(), ids=NOT_ENVELOPES.keys())
def test_error_in_another_shape_becomes_an_envelope(
    body: bytes, content_type: str, status: int, gateway: Gateway, provider: FakeProvider
) -> None:
    provider.script(reply(status, body, content_type=content_type))
    answer = gateway.post(ask())
    assert_error(answer, status, {413: "request_too_large", 500: "api_error", 502: "api_error"}[status])
    assert b"<html>" not in answer.body


def test_redirect_of_an_upstream_is_an_error_and_not_followed(
    gateway: Gateway, provider: FakeProvider, second: FakeProvider
) -> None:
    provider.script(reply(307, b"", [("location", second.url + "/v1/messages")]))
    answer = gateway.post(ask())
    assert answer.status >= 500
    assert_error(answer, answer.status, "api_error")
    assert answer.values("location") == []
    assert second.received == []


def test_answer_that_is_not_http_is_an_upstream_error(gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(raw(b"SSH-2.0-OpenSSH_9.2\r\n"))
    answer = gateway.post(ask())
    assert answer.status >= 500
    assert_error(answer, answer.status, "api_error")
    assert gateway.record(answer.value("request-id"))["outcome"] == "upstream_error"
