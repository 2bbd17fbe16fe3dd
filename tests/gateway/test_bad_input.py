"""Input that no client should send: refused quickly, in the Messages error shape, and the process lives on."""

import gzip
import json
import zlib
from collections.abc import Callable

import pytest
import zstandard

from tests.fake_provider import FakeProvider
from tests.gateway.bodies import ask, assert_error, encoded
from tests.harness import KEYS, Client, Gateway, Reply

MEGABYTE = 1024 * 1024
LIMIT = 32 * MEGABYTE
AUTHORIZED = ("authorization", f"Bearer {KEYS['main']}")

MALFORMED = {
    "empty": b"",
    "space": b"  \n ",
    "cut": b'{"model": "claude-same"',
    "open brace": b"{",
    "more behind": b'{"model": "claude-same"} x',
    "two objects": b'{"model": "claude-same"}{"model": "claude-same"}',
    "comma at the end": b'{"model": "claude-same",}',
    "single quotes": b"{'model': 'claude-same'}",
    "bare word": b'{"model": claude}',
    "not a number": b'{"model": "claude-same", "x": NaN}',
    "leading zero": b'{"model": "claude-same", "x": 012}',
    "control character in a string": b'{"model": "claude-same", "x": "\x00"}',
    "bad escape": b'{"model": "claude-same", "x": "\\x"}',
    "deep arrays": b'{"model": "claude-same", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"model": "claude-same", "x": ' + b'{"y":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "deep and cut": b"[" * 100_000,
    "not UTF-8": b'{"model": "claude-same", "x": "\xff"}',
    "overlong UTF-8": b'{"model": "claude-same", "x": "\xc0\xaf"}',
    "UTF-8 of a surrogate": b'{"model": "claude-same", "x": "\xed\xa0\x80"}',
    "UTF-8 cut": b'{"model": "claude-same", "x": "\xe2\x82"}',
    "UTF-16": '{"model": "claude-same"}'.encode("utf-16"),
    "array": b'[{"model": "claude-same"}]',
    "string": b'"claude-same"',
    "null": b"null",
    "number": b"1",
    "form": b"model=claude-same",
    "no model": b'{"max_tokens": 1}',
    "model in another case": b'{"Model": "claude-same"}',
    "model nested": b'{"x": {"model": "claude-same"}}',
    "model null": b'{"model": null}',
    "model number": b'{"model": 1}',
    "model list": b'{"model": ["claude-same"]}',
    "model object": b'{"model": {"model": "claude-same"}}',
    "model empty": b'{"model": ""}',
    "stream string": b'{"model": "claude-same", "stream": "true"}',
    "stream number": b'{"model": "claude-same", "stream": 1}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_body_is_refused(body: bytes, gateway: Gateway, provider: FakeProvider) -> None:
    reply = gateway.post(body)
    assert_error(reply, 400, "invalid_request_error")
    assert provider.received == []
    record = gateway.record(reply.value("request-id"))
    assert (record["status"], record["outcome"], record["team"]) == (400, "refused", "alpha")
    assert record["error"]["type"] == "invalid_request_error"


def test_malformed_count_tokens_body_is_refused(gateway: Gateway, provider: FakeProvider) -> None:
    assert_error(gateway.post(b"{", "/v1/messages/count_tokens"), 400, "invalid_request_error")
    assert provider.received == []


def test_wrong_key_is_told_before_a_wrong_body(gateway: Gateway) -> None:
    assert_error(gateway.post(b"{", key="wrong"), 401, "authentication_error")


@pytest.mark.parametrize("where", ["model", "messages"])
def test_strange_names_are_answered(where: str, gateway: Gateway) -> None:
    strange = "\u202e\U0001f600'\"<script>\\..%00" * 40
    body = ask(model=strange) if where == "model" else ask(strange)
    reply = gateway.post(body)
    assert reply.status == (404 if where == "model" else 200)
    assert gateway.record(reply.value("request-id"))["status"] == reply.status


# Too large


def test_declared_length_beyond_the_limit_is_refused_before_the_body_comes(gateway: Gateway) -> None:
    with gateway.client() as client:
        client.request("POST", "/v1/messages", [AUTHORIZED, ("content-length", str(LIMIT + 1))])
        assert_error(client.reply(), 413, "request_too_large")


def test_chunked_body_beyond_the_limit_is_refused(gateway: Gateway) -> None:
    chunk = b"%x\r\n%s\r\n" % (MEGABYTE, b" " * MEGABYTE)
    with gateway.client() as client:
        client.request("POST", "/v1/messages", [AUTHORIZED, ("transfer-encoding", "chunked")])
        assert_error(_reply_while_sending(client, chunk, 40), 413, "request_too_large")
    assert gateway.post(ask()).status == 200


def _reply_while_sending(client: Client, chunk: bytes, count: int) -> Reply:
    """Sends until the server has had enough, then reads what it said."""
    try:
        for _ in range(count):
            client.send(chunk)
        client.send(b"0\r\n\r\n")
    except OSError:
        pass
    return client.reply()


def test_body_just_below_the_limit_is_served(gateway: Gateway, provider: FakeProvider) -> None:
    body = encoded(ask("x"))
    body += b" " * (LIMIT - len(body))
    assert gateway.post(body).status == 200
    assert len(provider.received[-1].body) == LIMIT


# Content codings


@pytest.mark.parametrize(
    ("coding", "encode"), [("gzip", gzip.compress), ("zstd", zstandard.compress), ("deflate", zlib.compress)]
)
def test_coded_body_arrives_decoded(
    coding: str, encode: Callable[[bytes], bytes], gateway: Gateway, provider: FakeProvider
) -> None:
    body = encoded(ask("coded " * 1000))
    coded = encode(body)
    assert gateway.post(coded, headers=[("content-encoding", coding)]).status == 200
    assert provider.received[-1].body == body


def bomb(coding: str) -> bytes:
    zeros = b" " * (64 * MEGABYTE)
    return gzip.compress(zeros, 9) if coding == "gzip" else zstandard.compress(zeros)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_bomb_is_refused_without_being_unpacked(coding: str, gateway: Gateway) -> None:
    before = gateway.resident_kib()
    reply = gateway.post(bomb(coding), headers=[("content-encoding", coding)])
    assert_error(reply, 413, "request_too_large")
    assert gateway.resident_kib() - before < 100 * 1024


BADLY_CODED = {
    "not gzip": ("gzip", b"this is not gzip"),
    "gzip cut": ("gzip", gzip.compress(encoded(ask()))[:-12]),
    "gzip damaged": ("gzip", gzip.compress(encoded(ask()))[:-8] + b"\0" * 8),
    "not zstd": ("zstd", b"this is not zstd"),
    "zstd cut": ("zstd", zstandard.compress(encoded(ask()))[:-3]),
    "unknown coding": ("compress", encoded(ask())),
    "brotli": ("br", encoded(ask())),
    "two codings": ("gzip, gzip", gzip.compress(gzip.compress(encoded(ask())))),
    "not deflate": ("deflate", encoded(ask())),
    "empty gzip": ("gzip", b""),
}


@pytest.mark.parametrize(("coding", "body"), BADLY_CODED.values(), ids=BADLY_CODED.keys())
def test_badly_coded_body_is_refused(coding: str, body: bytes, gateway: Gateway, provider: FakeProvider) -> None:
    reply = gateway.post(body, headers=[("content-encoding", coding)])
    assert reply.status in (400, 415), reply.body
    assert_error(reply, reply.status, "invalid_request_error")
    assert provider.received == []


def test_identity_is_no_coding(gateway: Gateway) -> None:
    assert gateway.post(ask(), headers=[("content-encoding", "identity")]).status == 200


# Addresses and methods

WRONG_METHODS = {
    "POST warm-up": ("POST", "/anthropic", "HEAD"),
    "GET messages": ("GET", "/v1/messages", "POST"),
    "PUT messages": ("PUT", "/v1/messages", "POST"),
    "DELETE messages": ("DELETE", "/anthropic/v1/messages", "POST"),
    "GET count": ("GET", "/v1/messages/count_tokens", "POST"),
    "POST models": ("POST", "/v1/models", "GET"),
    "DELETE model": ("DELETE", "/v1/models/claude-same", "GET"),
    "PATCH messages": ("PATCH", "/v1/messages", "POST"),
}


@pytest.mark.parametrize(("method", "path", "allowed"), WRONG_METHODS.values(), ids=WRONG_METHODS.keys())
def test_wrong_method_is_refused(method: str, path: str, allowed: str, gateway: Gateway) -> None:
    with gateway.client() as client:
        client.request(method, path, [AUTHORIZED], b"{}" if method != "GET" else None)
        reply = client.reply()
    assert_error(reply, 405, "invalid_request_error")
    assert allowed in reply.value("allow")


UNKNOWN = [
    "/v1/complete",
    "/v1/messages/cache_touch",
    "/v1/messages/",
    "/v1/messagesx",
    "/v1",
    "/v1/",
    "/anthropic/v2/messages",
    "/v1/messages%2Fcount_tokens",
    "/v1/../v1/messages",
    "/v1/%00",
    "/v1/%ff%fe",
]


@pytest.mark.parametrize("path", UNKNOWN)
def test_unknown_address_is_not_found_and_never_redirected(path: str, gateway: Gateway, provider: FakeProvider) -> None:
    reply = gateway.post(ask(), path)
    assert reply.status == 404, (reply.status, reply.headers)
    if path.startswith("/v1/"):
        assert_error(reply, 404, "not_found_error")
    assert provider.received == []


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/models/unheard-of", "/v1/models/a/b", "/v1/models/%2e%2e"])
def test_unknown_model_address_is_not_found(path: str, gateway: Gateway) -> None:
    reply = gateway.get(path)
    assert reply.status in (200, 404)
    if path != "/v1/models/":
        assert_error(reply, 404, "not_found_error")


# Below HTTP

POST, GET = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n", b"GET /v1/models HTTP/1.1\r\nhost: x\r\n"
RAW = {
    "NUL in a header's value": POST + b"x-a: a\0b\r\ncontent-length: 2\r\n\r\n{}",
    "control character in a value": GET + b"x-a: \x01\r\n\r\n",
    "space in a header's name": GET + b"x a: 1\r\n\r\n",
    "no header at all": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "not HTTP": b"hello there\r\n\r\n",
    "length and chunked": POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": POST + b"content-length: -1\r\n\r\n",
    "two lengths": POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}x",
    "bad chunk size": POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "HTTP 0.9": b"GET /v1/models\r\n\r\n",
    "arbitrary bytes": bytes(range(256)) + b"\r\n\r\n",
    "a header of a megabyte": GET + b"x-a: " + b"a" * MEGABYTE + b"\r\n\r\n",
}


@pytest.mark.parametrize("data", RAW.values(), ids=RAW.keys())
def test_broken_http_harms_nobody(data: bytes, gateway: Gateway, provider: FakeProvider) -> None:
    with gateway.client(timeout=5) as client:
        try:
            client.send(data)
            status = client.reply().status
        except (EOFError, OSError):
            status = 0  # closed without a word
    assert status == 0 or 400 <= status < 500
    assert provider.received == []
    assert gateway.post(ask()).status == 200


def test_long_header_within_reason_is_served(gateway: Gateway) -> None:
    assert (
        gateway.post(ask(), headers=[("anthropic-beta", ",".join(f"beta-{n}-2026-01-01" for n in range(300)))]).status
        == 200
    )


def test_body_that_never_ends_is_dropped_with_its_client(gateway: Gateway, provider: FakeProvider) -> None:
    with gateway.client() as client:
        client.request("POST", "/v1/messages", [AUTHORIZED, ("content-length", "1000")])
        client.send(json.dumps(ask()).encode()[:20])
    assert gateway.post(ask()).status == 200
    assert len(provider.received) == 1
