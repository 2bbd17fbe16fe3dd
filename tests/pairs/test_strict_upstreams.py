"""The fake upstreams of the two clouds complain of what they must complain of; every test on pairs relies on that."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.fake_provider import FakeProvider
from tests.fake_provider.bedrock import Bedrock
from tests.fake_provider.vertex import PROJECT, Vertex
from tests.harness import Client

Headers = list[tuple[str, str]]
BODY = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
PATH = "/model/us.anthropic.claude-opus-5-5/invoke"
SECRET = "a-key-of-a-caller-of-the-gateway"


@pytest.fixture
def amazon() -> Iterator[FakeProvider]:
    keys = {"AKIAONE": "secret/one"}
    with Bedrock(keys=keys, tokens={"AKIAONE": "token=="}).provider([SECRET]) as provider:
        yield provider


@pytest.fixture
def google() -> Iterator[FakeProvider]:
    with Vertex(bearer="ya29.x").provider([SECRET]) as provider:
        yield provider


def signed(port: int, path: str, body: bytes, *, region: str = "us-east-1", token: str = "token==") -> Headers:
    request = AWSRequest("POST", f"http://127.0.0.1:{port}{path}", {"content-type": "application/json"}, body)
    SigV4Auth(Credentials("AKIAONE", "secret/one", token), "bedrock", region).add_auth(request)
    return [(name.lower(), value) for name, value in request.headers.items()]


def encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def post(provider: FakeProvider, path: str, headers: Headers, body: bytes) -> int:
    with Client(provider.port) as client:
        client.request("POST", path, headers, body)
        return client.reply().status


def test_a_signed_request_is_answered(amazon: FakeProvider) -> None:
    body = encoded(BODY)
    assert post(amazon, PATH, signed(amazon.port, PATH, body), body) == 200
    wrapped = encoded({"input": {"invokeModel": {"body": base64.b64encode(body).decode()}}})
    path = "/model/anthropic.claude-opus-5-5/count-tokens"
    assert post(amazon, path, signed(amazon.port, path, wrapped), wrapped) == 200
    assert amazon.violations == []


BAD_BODIES: dict[str, dict[str, Any]] = {
    "model": {**BODY, "model": "x"},
    "stream": {**BODY, "stream": True},
    "no version": {name: value for name, value in BODY.items() if name != "anthropic_version"},
    "another version": {**BODY, "anthropic_version": "2023-06-01"},
    "no max_tokens": {name: value for name, value in BODY.items() if name != "max_tokens"},
    "empty betas": {**BODY, "anthropic_beta": []},
    "betas twice": {**BODY, "anthropic_beta": ["a", "a"]},
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_bedrock_complains_of_a_body(body: dict[str, Any], amazon: FakeProvider) -> None:
    data = encoded(body)
    assert post(amazon, PATH, signed(amazon.port, PATH, data), data) == 500
    assert amazon.violations


BAD_HEADERS: dict[str, tuple[str, str]] = {
    "betas": ("anthropic-beta", "x"),
    "version": ("anthropic-version", "2023-06-01"),
    "hint": ("x-claude-code-prompt-id", "1"),
    "session": ("x-claude-code-session-id", "1"),
    "key": ("x-api-key", "x"),
    "two credentials": ("authorization", "Bearer x"),
    "a caller's key": ("x-anything", SECRET),
    "Google's": ("x-goog-user-project", "p"),
    "unsigned": ("x-amz-target", "x"),
    "forwarded": ("x-forwarded-for", "10.0.0.1"),
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_bedrock_complains_of_a_header(header: tuple[str, str], amazon: FakeProvider) -> None:
    body = encoded(BODY)
    assert post(amazon, PATH, [*signed(amazon.port, PATH, body), header], body) == 500
    assert amazon.violations


@pytest.mark.parametrize(
    "path",
    [
        "/model/arn:aws:bedrock:us-east-1:1:inference-profile%2Fx/invoke",
        "/model/a:0/invoke",
        "/model/a[1m]/invoke",
        "/model/a/b/invoke",
        "/bedrock/model/a/invoke",
        "/model/a/converse",
        "/v1/messages",
    ],
)
def test_bedrock_complains_of_a_path(path: str, amazon: FakeProvider) -> None:
    body = encoded(BODY)
    assert post(amazon, path, signed(amazon.port, path, body), body) == 500
    assert any("path" in text or "model id" in text for text in amazon.violations)


def test_bedrock_complains_of_signatures(amazon: FakeProvider) -> None:
    body = encoded(BODY)
    good = signed(amazon.port, PATH, body)
    for headers, sent in (
        (good, body + b" "),
        (signed(amazon.port, PATH + "x", body), body),
        (signed(amazon.port, PATH, body, region="eu-west-1"), body),
        (signed(amazon.port, PATH, body, token="other"), body),
        ([pair for pair in good if pair[0] != "authorization"], body),
        ([pair for pair in good if pair[0] != "content-type"], body),
    ):
        amazon.violations.clear()
        assert post(amazon, PATH, headers, sent) == 500
        assert amazon.violations


PLACE = f"/v1/projects/{PROJECT}/locations/europe-west1/publishers/anthropic/models"
GOOD: Headers = [("authorization", "Bearer ya29.x"), ("content-type", "application/json")]
ASK = {**BODY, "anthropic_version": "vertex-2023-10-16"}


def test_vertex_answers(google: FakeProvider) -> None:
    assert post(google, f"{PLACE}/claude-opus-5-5:rawPredict", GOOD, encoded(ASK)) == 200
    streamed = encoded({**ASK, "stream": True})
    assert post(google, f"{PLACE}/claude-opus-5-5:streamRawPredict", GOOD, streamed) == 200
    assert google.violations == []


BAD_AT_VERTEX: dict[str, tuple[str, Headers, dict[str, Any]]] = {
    "model": ("claude-opus-5-5:rawPredict", GOOD, {**ASK, "model": "x"}),
    "no model in a count": ("count-tokens:rawPredict", GOOD, ASK),
    "version": ("claude-opus-5-5:rawPredict", GOOD, BODY),
    "stream for one answer": ("claude-opus-5-5:rawPredict", GOOD, {**ASK, "stream": True}),
    "no stream for many": ("claude-opus-5-5:streamRawPredict", GOOD, ASK),
    "betas in the body": ("claude-opus-5-5:rawPredict", GOOD, {**ASK, "anthropic_beta": ["x"]}),
    "wrong token": ("claude-opus-5-5:rawPredict", [("authorization", "Bearer y"), GOOD[1]], ASK),
    "no token": ("claude-opus-5-5:rawPredict", GOOD[1:], ASK),
    "key": ("claude-opus-5-5:rawPredict", [*GOOD, ("x-api-key", "x")], ASK),
    "the client's project": ("claude-opus-5-5:rawPredict", [*GOOD, ("x-goog-user-project", "x")], ASK),
    "Amazon's": ("claude-opus-5-5:rawPredict", [*GOOD, ("x-amz-date", "x")], ASK),
    "hint": ("claude-opus-5-5:rawPredict", [*GOOD, ("x-claude-code-session-id", "x")], ASK),
    "method": ("claude-opus-5-5:predict", GOOD, ASK),
    "encoded": ("claude-opus-5-5%40x:rawPredict", GOOD, ASK),
}


@pytest.mark.parametrize(("path", "headers", "body"), BAD_AT_VERTEX.values(), ids=BAD_AT_VERTEX.keys())
def test_vertex_complains(path: str, headers: Headers, body: dict[str, Any], google: FakeProvider) -> None:
    assert post(google, f"{PLACE}/{path}", headers, encoded(body)) == 500
    assert google.violations


def test_vertex_complains_of_another_place(google: FakeProvider) -> None:
    for place in (
        PLACE.replace(PROJECT, "other"),
        PLACE.replace("europe-west1", "us-east5"),
        PLACE.removeprefix("/v1"),
    ):
        google.violations.clear()
        assert post(google, f"{place}/claude-opus-5-5:rawPredict", GOOD, encoded(ASK)) == 500
        assert google.violations
