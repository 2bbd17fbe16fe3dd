"""Errors of upstreams and refusals of the gateway, as clients of each format get them through the running gateway."""

import json
from typing import Any

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import bedrock, error, raw, reply, vertex
from tests.fake_provider.answers import Answer
from tests.fake_provider.bedrock import ACCOUNT, ARN
from tests.fake_provider.vertex import PROJECT
from tests.formats.golden import FORMATS, PAIRS
from tests.harness import KEYS, Client, Gateway, Reply
from tests.harness.formats import name_for
from tests.pairs.clients import ask_plainly, encoded, plain, plain_count
from tests.pairs.conftest import Upstreams
from tests.pairs.sdk_scenarios import STATUSES

EACH_PAIR = pytest.mark.parametrize(("client", "upstream"), PAIRS)
EACH_CLIENT = pytest.mark.parametrize("client", FORMATS)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def asked(text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"max_tokens": 16, "messages": [{"role": "user", "content": text}], **fields}


def ask(
    gateway: Gateway,
    client: str,
    model: str,
    request: dict[str, Any],
    *,
    stream: bool = False,
    key: str = KEYS["main"],
    headers: Any = (),
) -> Reply:
    path, body = plain(client, model, request, stream=stream)
    return ask_plainly(gateway.port, path, body, key=key, headers=headers)


def assert_shape(answer: Reply, client: str, status: int, kind: str = "", name: str = "") -> str:
    """The error body that clients of the format read; returns its text."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.value("content-type").startswith("application/json")
    body = answer.json
    assert body["type"] == "error"
    assert body["request_id"] == answer.value("request-id")
    assert body["request_id"].startswith("req_")
    assert body["error"]["message"]
    if kind:
        assert body["error"]["type"] == kind
    if client == BEDROCK:
        assert body["message"] == body["error"]["message"]  # boto3 reads the one, Claude Code the other
        assert answer.value("x-amzn-requestid") == body["request_id"]
        assert answer.value("x-amzn-errortype").isalnum()
        assert name in ("", answer.value("x-amzn-errortype"))
    text: str = body["error"]["message"]
    return text


def assert_nothing_of_the_account(answer: Reply, upstreams: Upstreams) -> None:
    told = answer.body.decode() + "\n".join(f"{name}: {value}" for name, value in answer.headers)
    ports = [str(provider.port) for provider in upstreams.providers.values()]
    for text in (ACCOUNT, PROJECT, "arn:", "req_vrtx", "aws1", "req_upstream", "set-cookie", "via:", *ports):
        assert text not in told, text


# Errors of upstreams (wire-formats: the table of errors)


@EACH_PAIR
@STREAMED
def test_each_class_of_error(client: str, upstream: str, stream: bool, gateway: Gateway, upstreams: Upstreams) -> None:
    answers: list[tuple[int, int, str]] = []
    for status, by_client in STATUSES[upstream].items():
        model = name_for(client, upstream)
        answer = ask(gateway, client, model, asked(f"fail={status}"), stream=stream)
        if client == upstream == VERTEX and "type" not in answer.json:  # in Google's own shape
            assert answer.status == by_client[client]
            assert answer.json["error"]["code"] == status
            assert answer.json["error"].keys() == {"code", "message", "status"}
        else:
            assert_shape(answer, client, by_client[client])
        assert_nothing_of_the_account(answer, upstreams)
        answers.append((status, by_client[client], answer.value("request-id")))
    for status, here, request_id in reversed(answers):
        record = gateway.record(request_id)
        assert (record["outcome"], record["status"]) == ("upstream_error", here)
        assert record["attempts"][0]["status"] == status


SIGNED_OUT: dict[str, Answer] = {
    ANTHROPIC: reply(401, error("authentication_error", "invalid x-api-key")),
    BEDROCK: bedrock.failure(403, f"The security token of {ARN} is invalid", name="InvalidSignatureException"),
    VERTEX: vertex.google_failure(403, "Request is missing required authentication credential."),
}


@EACH_CLIENT
@pytest.mark.parametrize("upstream", [ANTHROPIC, BEDROCK])
def test_a_refused_credential_of_ours_is_not_the_callers_fault(
    client: str, upstream: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    upstreams[upstream].script(SIGNED_OUT[upstream])
    answer = ask(gateway, client, name_for(client, upstream), asked())
    status = 502 if client == ANTHROPIC else 500
    text = assert_shape(answer, client, status, "api_error", "InternalServerException")
    assert "administrator" in text
    assert_nothing_of_the_account(answer, upstreams)


KNOWN_SENTENCES = {
    ANTHROPIC: "prompt is too long: 210000 tokens > 200000 maximum",
    BEDROCK: "Input is too long for requested model.",
    VERTEX: "prompt is too long: 210000 tokens > 200000 maximum",
}


@EACH_PAIR
def test_sentences_that_clients_repair_by_stay_word_for_word(
    client: str, upstream: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    sentence = KNOWN_SENTENCES[upstream]
    upstreams[upstream].script(
        {
            ANTHROPIC: lambda: reply(400, error("invalid_request_error", sentence)),
            BEDROCK: lambda: bedrock.failure(400, sentence),
            VERTEX: lambda: vertex.failure(400, sentence),
        }[upstream]()
    )
    answer = ask(gateway, client, name_for(client, upstream), asked())
    assert assert_shape(answer, client, 400, "invalid_request_error", "ValidationException") == sentence


@pytest.mark.parametrize("client", [ANTHROPIC, VERTEX])
def test_other_words_of_amazon_become_a_class(client: str, gateway: Gateway, upstreams: Upstreams) -> None:
    words = f"messages.1: output_config.effort is not supported by {ARN}"
    upstreams[BEDROCK].script(bedrock.failure(400, words))
    answer = ask(gateway, client, name_for(client, BEDROCK), asked())
    assert assert_shape(answer, client, 400) == "capability_rejected: effort_unsupported"


@EACH_CLIENT
@pytest.mark.parametrize("in_list", [False, True])
def test_googles_shape_is_read_also_in_a_list(
    client: str, in_list: bool, gateway: Gateway, upstreams: Upstreams
) -> None:
    text = f"Quota exceeded for aiplatform.googleapis.com/requests in project {PROJECT}"
    upstreams[VERTEX].script(vertex.google_failure(429, text, headers=[("retry-after", "7")], in_list=in_list))
    answer = ask(gateway, client, name_for(client, VERTEX), asked(), stream=in_list)
    assert (answer.status, answer.value("retry-after")) == (429, "7")
    assert_nothing_of_the_account(answer, upstreams)
    if client == VERTEX:
        assert answer.json["error"]["status"] == "RESOURCE_EXHAUSTED"
    else:
        assert_shape(answer, client, 429, "rate_limit_error", "ThrottlingException")


NO_ANSWERS = {
    "HTML": lambda: reply(502, b"<html>Bad Gateway</html>", content_type="text/html", edge=False),
    "nothing": lambda: reply(500, b"", content_type="text/plain", edge=False),
    "not HTTP": lambda: raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "a page with 200": lambda: reply(200, b"<html>Sign in</html>", content_type="text/html", edge=False),
    "JSON of another kind": lambda: reply(200, b"[1]", edge=False),
}


@EACH_PAIR
@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_an_answer_that_is_none_is_an_error_in_the_clients_shape(
    answer: Any, client: str, upstream: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    upstreams[upstream].script(answer())
    found = ask(gateway, client, name_for(client, upstream), asked())
    if client == upstream and found.status == 200:
        assert found.body == b"[1]"  # between equal formats bytes are not judged
        return
    assert_shape(found, client, found.status, "api_error", "InternalServerException")
    assert found.status >= 500
    assert b"html" not in found.body.lower()


# Refusals of the gateway


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


# What an upstream cannot carry

IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.org/cat.png"}}
FILE = {"type": "document", "source": {"type": "file", "file_id": "file_011"}}
TEXT = {"type": "text", "text": "What is this?"}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
UNBRIDGEABLE: dict[str, tuple[dict[str, Any], str]] = {
    "an image by its URL": ({"messages": [{"role": "user", "content": [IMAGE, TEXT]}]}, "url"),
    "a file of the Files API": ({"messages": [{"role": "user", "content": [FILE, TEXT]}]}, "file_id"),
    "a tool that the vendor runs": ({"tools": [SEARCH]}, "web_search_20250305"),
    "safeguards": ({"safeguards": {"x": True}}, "safeguards"),
}


@pytest.mark.parametrize(("fields", "word"), UNBRIDGEABLE.values(), ids=UNBRIDGEABLE.keys())
@STREAMED
def test_what_an_upstream_cannot_carry_goes_to_one_that_can(
    fields: dict[str, Any], word: str, stream: bool, gateway: Gateway, upstreams: Upstreams
) -> None:
    answer = ask(gateway, ANTHROPIC, "claude-capable", asked(**fields), stream=stream)
    assert answer.status == 200, answer.body
    record = gateway.record(answer.value("request-id"))
    assert [attempt["provider"] for attempt in record["attempts"]] == ["anthropic-apart"]
    assert upstreams[BEDROCK].received == []
    ordinary = ask(gateway, ANTHROPIC, "claude-capable", asked(), stream=stream)
    assert gateway.record(ordinary.value("request-id"))["provider"] == "bedrock-apart"


@pytest.mark.parametrize(("fields", "word"), UNBRIDGEABLE.values(), ids=UNBRIDGEABLE.keys())
@pytest.mark.parametrize("client", [ANTHROPIC, VERTEX])
def test_what_no_upstream_of_the_route_can_carry_is_refused_by_name(
    fields: dict[str, Any], word: str, client: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    answer = ask(gateway, client, name_for(client, BEDROCK), asked(**fields))
    text = assert_shape(answer, client, 400, "invalid_request_error")
    assert word in text
    assert "bedrock" in text
    assert upstreams[BEDROCK].received == []
    record = gateway.record(answer.value("request-id"))
    assert (record["outcome"], record["reason"]) == ("refused", "not_bridgeable")


def test_a_search_by_the_vendor_reaches_vertex(gateway: Gateway, upstreams: Upstreams) -> None:
    answer = ask(gateway, ANTHROPIC, name_for(ANTHROPIC, VERTEX), asked(tools=[SEARCH]))
    assert answer.status == 200, answer.body
    answer = ask(gateway, BEDROCK, name_for(BEDROCK, VERTEX), asked(tools=[{**SEARCH, "type": "web_fetch_20250910"}]))
    assert_shape(answer, BEDROCK, 400, "invalid_request_error", "ValidationException")


# Betas that an upstream does not know

KNOWN, NEWER = "interleaved-thinking-2025-05-14", "context-1m-2025-08-07"


@pytest.mark.parametrize("client", [ANTHROPIC, VERTEX])
@pytest.mark.parametrize(
    ("complaint", "betas"), [("invalid beta flag: {beta}", f"{KNOWN},{NEWER}"), ("invalid beta flag", NEWER)]
)
@STREAMED
def test_a_beta_that_is_refused_is_left_out_once(
    client: str, complaint: str, betas: str, stream: bool, gateway: Gateway, upstreams: Upstreams
) -> None:
    upstreams.bedrock.known_betas, upstreams.bedrock.complaint = frozenset({KNOWN}), complaint
    headers = [("anthropic-beta", betas)]
    answer = ask(gateway, client, name_for(client, BEDROCK), asked(), stream=stream, headers=headers)
    assert answer.status == 200, answer.body
    first, second = (json.loads(request.body) for request in upstreams[BEDROCK].received)
    assert NEWER in first["anthropic_beta"]
    assert second.get("anthropic_beta", []) == [beta for beta in betas.split(",") if beta == KNOWN]
    record = gateway.record(answer.value("request-id"))
    assert record["betas_removed"] == [NEWER]
    assert [attempt["status"] for attempt in record["attempts"]] == [400, 200]


def test_a_beta_refused_among_several_without_a_name_is_the_clients_to_repair(
    gateway: Gateway, upstreams: Upstreams
) -> None:
    upstreams.bedrock.known_betas, upstreams.bedrock.complaint = frozenset(), "invalid beta flag"
    headers = [("anthropic-beta", f"{KNOWN},{NEWER}")]
    answer = ask(gateway, ANTHROPIC, name_for(ANTHROPIC, BEDROCK), asked(), headers=headers)
    assert assert_shape(answer, ANTHROPIC, 400, "invalid_request_error") == "invalid beta flag"
    assert len(upstreams[BEDROCK].received) == 1


def test_betas_between_equal_formats_are_the_clients(gateway: Gateway, upstreams: Upstreams) -> None:
    upstreams.bedrock.known_betas, upstreams.bedrock.complaint = frozenset(), "invalid beta flag"
    answer = ask(gateway, BEDROCK, name_for(BEDROCK, BEDROCK), asked(anthropic_beta=["not-yet-known-2027-01-01"]))
    assert assert_shape(answer, BEDROCK, 400, name="ValidationException") == "invalid beta flag"
    assert len(upstreams[BEDROCK].received) == 1


@pytest.mark.parametrize("upstream", [BEDROCK, VERTEX])
def test_betas_that_do_not_cross_stand_on_the_record(upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    headers = [("anthropic-beta", f"{NEWER},not-yet-known-2027-01-01,files-api-2025-04-14")]
    answer = ask(gateway, ANTHROPIC, name_for(ANTHROPIC, upstream), asked(), headers=headers)
    assert answer.status == 200
    record = gateway.record(answer.value("request-id"))
    assert sorted(record["betas_removed"]) == ["files-api-2025-04-14", "not-yet-known-2027-01-01"]
    (request,) = upstreams[upstream].received
    sent = request.json["anthropic_beta"] if upstream == BEDROCK else request.value("anthropic-beta").split(",")
    assert sent == [NEWER]


def test_betas_of_bodies_become_a_header(gateway: Gateway, upstreams: Upstreams) -> None:
    request = asked(anthropic_beta=["tool-search-tool-2025-10-19", NEWER])
    assert ask(gateway, BEDROCK, name_for(BEDROCK, ANTHROPIC), request).status == 200
    assert upstreams[ANTHROPIC].received[0].value("anthropic-beta") == f"advanced-tool-use-2025-11-20,{NEWER}"
    assert b"anthropic_beta" not in upstreams[ANTHROPIC].received[0].body


def test_fallback_crosses_formats(gateway: Gateway, upstreams: Upstreams) -> None:
    for client in FORMATS:
        for stream in (False, True):
            upstreams[BEDROCK].script(bedrock.failure(503, "busy"))
            answer = ask(gateway, client, "claude-two-clouds", asked(), stream=stream)
            assert answer.status == 200, answer.body
            record = gateway.record(answer.value("request-id"))
            attempts = [(attempt["provider"], attempt["status"]) for attempt in record["attempts"]]
            assert attempts == [("bedrock-apart", 503), ("vertex-apart", 200)]


def test_bodies_that_clients_write_by_hand(gateway: Gateway) -> None:
    path, _ = plain(ANTHROPIC, "x", asked())
    body = encoded({"model": 7, **asked()})
    assert_shape(ask_plainly(gateway.port, path, body), ANTHROPIC, 400, "invalid_request_error")
