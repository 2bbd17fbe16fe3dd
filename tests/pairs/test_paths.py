"""Every address at which clients of the three formats ask, and every way in which they write a model's id."""

from typing import Any
from urllib.parse import quote

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider.bedrock import model_of
from tests.formats.golden import FORMATS
from tests.harness import KEYS, Gateway
from tests.harness.formats import APPLICATION_PROFILE, OLDER, TARGETS, name_for
from tests.pairs.asking import get, served
from tests.pairs.clients import PLACE, ask_plainly, encoded, plain, plain_count
from tests.pairs.conftest import Upstreams

ASK = {"max_tokens": 16, "messages": [{"role": "user", "content": "hello"}]}
VERTEX_MOUNTS = ("", "/v1", "/vertex", "/vertex/v1", "/vertex_ai", "/vertex_ai/v1")


# Mounts


@pytest.mark.parametrize("mount", ["", "/anthropic"])
@pytest.mark.parametrize("query", ["", "?beta=true", "?x=1&beta=true"])
def test_mounts_of_messages(mount: str, query: str, gateway: Gateway, upstreams: Upstreams) -> None:
    name = name_for(ANTHROPIC, BEDROCK)
    served(gateway, f"{mount}/v1/messages{query}", plain(ANTHROPIC, name, ASK)[1])
    counted = served(gateway, f"{mount}/v1/messages/count_tokens{query}", plain_count(ANTHROPIC, name, ASK)[1])
    assert counted.json["input_tokens"] > 0
    assert len(upstreams[BEDROCK].received) == 2


@pytest.mark.parametrize("mount", ["", "/bedrock", "//bedrock", "/"])
@pytest.mark.parametrize("upstream", FORMATS)
def test_mounts_of_bedrock(mount: str, upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    name = name_for(BEDROCK, upstream)
    for stream in (False, True):
        path, body = plain(BEDROCK, name, ASK, stream=stream)
        served(gateway, mount + path, body)
    path, body = plain_count(BEDROCK, name, ASK)
    assert served(gateway, mount + path, body).json["inputTokens"] > 0
    assert len(upstreams[upstream].received) == 3


@pytest.mark.parametrize("mount", VERTEX_MOUNTS)
@pytest.mark.parametrize("upstream", FORMATS)
def test_mounts_of_vertex(mount: str, upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    name = name_for(VERTEX, upstream)
    body = plain(VERTEX, name, ASK)[1]
    served(gateway, f"{mount}{PLACE}/{name}:rawPredict", body)
    served(gateway, f"{mount}{PLACE}/{name}:streamRawPredict", plain(VERTEX, name, ASK, stream=True)[1])
    counted = served(gateway, f"{mount}{PLACE}/count-tokens:rawPredict", plain_count(VERTEX, name, ASK)[1])
    assert counted.json["input_tokens"] > 0
    assert len(upstreams[upstream].received) == 3


def test_bedrock_sdk_for_typescript_counts_at_the_messages_path(gateway: Gateway, upstreams: Upstreams) -> None:
    for upstream in FORMATS:
        asked = {**ASK, "anthropic_version": "2026-10-21", "anthropic_beta": ["context-1m-2025-08-07"]}
        body = plain_count(ANTHROPIC, name_for(BEDROCK, upstream), asked)[1]
        answer = served(gateway, "/bedrock/v1/messages/count_tokens", body)
        assert answer.json["input_tokens"] > 0
    (request,) = upstreams[ANTHROPIC].received
    assert request.json == {"model": TARGETS[ANTHROPIC], "messages": ASK["messages"]}
    assert request.value("anthropic-version") == "2026-10-21"


# Model ids in paths


@pytest.mark.parametrize(
    "written",
    [
        OLDER,
        OLDER.replace(":", "%3A"),
        OLDER.replace(":", "%3a"),
        quote(OLDER, safe="").replace("-", "%2D"),
        OLDER + "[1m]",
        quote(OLDER + "[1m]", safe=""),
    ],
)
@pytest.mark.parametrize("verb", ["invoke", "invoke-with-response-stream"])
def test_spellings_of_a_bedrock_id(written: str, verb: str, gateway: Gateway, upstreams: Upstreams) -> None:
    served(gateway, f"/bedrock/model/{written}/{verb}", plain(BEDROCK, OLDER, ASK)[1])
    (request,) = upstreams[BEDROCK].received
    assert model_of(request) == OLDER
    assert request.target == f"/model/{quote(OLDER, safe='')}/{verb}"


@pytest.mark.parametrize(
    "written",
    [
        quote(APPLICATION_PROFILE, safe=":"),
        quote(APPLICATION_PROFILE, safe=""),
        quote(APPLICATION_PROFILE, safe="").lower(),
        APPLICATION_PROFILE,
    ],
)
@pytest.mark.parametrize("mount", ["", "/bedrock"])
def test_spellings_of_an_arn(written: str, mount: str, gateway: Gateway, upstreams: Upstreams) -> None:
    served(gateway, f"{mount}/model/{written}/invoke", plain(BEDROCK, "x", ASK)[1])
    (request,) = upstreams[BEDROCK].received
    assert request.target == f"/model/{quote(APPLICATION_PROFILE, safe='')}/invoke"


@pytest.mark.parametrize(
    "written", ["claude-opus-4-5@20251101", "claude-opus-4-5%4020251101", "claude-opus-4-5@20251101[1m]"]
)
@pytest.mark.parametrize("colon", [":", "%3A"])
def test_spellings_of_a_vertex_id(written: str, colon: str, gateway: Gateway, upstreams: Upstreams) -> None:
    served(gateway, f"/vertex/v1{PLACE}/{written}{colon}rawPredict", plain(VERTEX, "x", ASK)[1])
    assert model_of(upstreams[BEDROCK].received[0]) == TARGETS[BEDROCK]


def test_the_long_context_marker_becomes_the_beta_where_formats_differ(gateway: Gateway, upstreams: Upstreams) -> None:
    path, body = plain(BEDROCK, name_for(BEDROCK, ANTHROPIC) + "[1m]", ASK)
    served(gateway, path, body)
    assert upstreams[ANTHROPIC].received[0].value("anthropic-beta") == "context-1m-2025-08-07"


BAD_IDS = {
    "nothing": "%20",
    "null": "claude%00",
    "line end": "claude%0Aset-cookie:x",
    "space": "claude%20x",
    "two dots": "..",
    "two dots encoded": "%2e%2e",
    "two dots inside": "a%2F..%2Fb",
    "backslash": "a%5C..",
    "twice encoded": "claude%252Fx",
    "broken escape": "claude%zz",
    "half an escape": "claude%2",
    "not UTF-8": "claude%FF",
    "invisible": "claude%E2%80%8B",
    "far too long": "x" * 2100,
}


@pytest.mark.parametrize("written", BAD_IDS.values(), ids=BAD_IDS.keys())
def test_bad_model_ids_are_refused(written: str, gateway: Gateway, upstreams: Upstreams) -> None:
    answer = ask_plainly(gateway.port, f"/bedrock/model/{written}/invoke", plain(BEDROCK, "x", ASK)[1])
    assert answer.status == 400, answer.body
    assert answer.value("x-amzn-errortype") == "ValidationException"
    assert answer.json["message"] == answer.json["error"]["message"]
    answer = ask_plainly(gateway.port, f"/vertex{PLACE}/{written}:rawPredict", plain(VERTEX, "x", ASK)[1])
    assert answer.status == 400, answer.body
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert all(provider.received == [] for provider in upstreams.providers.values())


# What is not served


@pytest.mark.parametrize(
    "verb", ["converse", "converse-stream", "invoke-with-bidirectional-stream", "async-invoke", "other"]
)
@pytest.mark.parametrize("mount", ["", "/bedrock"])
def test_other_operations_of_bedrock_are_not_found(verb: str, mount: str, gateway: Gateway) -> None:
    answer = ask_plainly(gateway.port, f"{mount}/model/{OLDER}/{verb}", encoded({"messages": []}))
    assert answer.status == 404
    assert answer.value("x-amzn-errortype") == "ResourceNotFoundException"
    assert answer.value("x-amzn-requestid") == answer.json["request_id"] != ""
    assert answer.json["message"]


@pytest.mark.parametrize("method", ["predict", "generateContent", "serverStreamingPredict"])
def test_other_methods_of_vertex_are_not_found(method: str, gateway: Gateway) -> None:
    answer = ask_plainly(gateway.port, f"/vertex/v1{PLACE}/claude-opus-5-5:{method}", b"{}")
    assert answer.status == 404
    assert answer.json["error"]["type"] == "not_found_error"


def test_wrong_method_is_answered_in_the_formats_shape(gateway: Gateway) -> None:
    answer = get(gateway, f"/bedrock/model/{OLDER}/invoke")
    assert (answer.status, answer.value("allow")) == (405, "POST")
    assert answer.value("x-amzn-errortype") == "ValidationException"
    answer = get(gateway, f"/vertex{PLACE}/claude-opus-5-5:rawPredict")
    assert answer.status == 405
    assert answer.json["type"] == "error"
    assert get(gateway, "/inference-profiles", method="DELETE").status == 405


# Carriers

CARRIERS: dict[str, list[tuple[str, str]]] = {
    "bearer": [("authorization", f"Bearer {KEYS['main']}")],
    "api key": [("x-api-key", KEYS["main"])],
    "both, equal": [("authorization", f"Bearer {KEYS['main']}"), ("x-api-key", KEYS["main"])],
    "both, the first is another's": [
        ("authorization", "Bearer sk-ant-of-another-house-1"),
        ("x-api-key", KEYS["main"]),
    ],
    "beside what clouds add": [
        ("authorization", f"Bearer {KEYS['main']}"),
        ("x-goog-user-project", "a-project-of-the-client"),
        ("x-amz-security-token", "token-of-the-client"),
        ("x-amz-date", "20261123T000000Z"),
        ("x-amz-content-sha256", "0" * 64),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "claude-code-20250219"),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("x-app", "cli"),
        ("x-claude-code-session-id", "s-1"),
        ("x-claude-code-prompt-id", "p-1"),
        ("x-claude-1p-request-class", "main"),
        ("cookie", "a=b"),
    ],
}


@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS.keys())
@pytest.mark.parametrize("client", FORMATS)
@pytest.mark.parametrize("upstream", FORMATS)
def test_carriers_of_the_key(
    carrier: list[tuple[str, str]], client: str, upstream: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    path, body = plain(client, name_for(client, upstream), ASK)
    answer: Any = ask_plainly(gateway.port, path, body, key="", headers=carrier)
    assert answer.status == 200, answer.body
    assert len(upstreams[upstream].received) == 1
