"""Inference profiles: a caller's aliases as Bedrock's control plane shows them, and counts by what they tell."""

from urllib.parse import quote

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.formats.golden import FORMATS
from tests.harness import KEYS, Gateway
from tests.harness.formats import APPLICATION_PROFILE, OLDER, name_for
from tests.pairs.asking import get, served
from tests.pairs.clients import ask_plainly, plain_count
from tests.pairs.conftest import Upstreams

ASK = {"max_tokens": 16, "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    "path", ["/inference-profiles", "/bedrock/inference-profiles?type=SYSTEM_DEFINED", "//inference-profiles"]
)
def test_profiles_are_the_callers_aliases(path: str, gateway: Gateway) -> None:
    answer = get(gateway, path)
    assert answer.status == 200
    listed = answer.json["inferenceProfileSummaries"]
    names = {each["inferenceProfileId"] for each in listed}
    assert {name_for(BEDROCK, upstream) for upstream in FORMATS} | {OLDER} <= names
    assert all(each["status"] == "ACTIVE" and each["models"][0]["modelArn"] for each in listed)
    assert gateway.record(answer.value("x-amzn-requestid"))["operation"] == "models"


def test_profiles_need_a_key(gateway: Gateway) -> None:
    answer = get(gateway, "/inference-profiles", key="")
    assert answer.status == 401
    assert answer.value("x-amzn-errortype") == "UnrecognizedClientException"


@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("by", ["id", "arn"])
def test_profile_leads_to_a_count(upstream: str, by: str, gateway: Gateway, upstreams: Upstreams) -> None:
    name = name_for(BEDROCK, upstream)
    found = get(gateway, f"/inference-profiles/{quote(name, safe='')}").json
    if by == "arn":
        found = get(gateway, f"/bedrock/inference-profiles/{quote(found['inferenceProfileArn'], safe='')}").json
    assert found["inferenceProfileId"] == name
    arn = found["models"][0]["modelArn"]
    body = plain_count(BEDROCK, "x", ASK)[1]
    for written in (quote(arn, safe=""), quote(arn, safe=":"), quote(arn.rpartition("/")[2], safe="")):
        answer = served(gateway, f"/bedrock/model/{written}/count-tokens", body)
        assert answer.json["inputTokens"] > 0
    assert len(upstreams[upstream].received) == 3


def test_profiles_and_counts_of_a_key_with_one_model(gateway: Gateway, upstreams: Upstreams) -> None:
    listed = get(gateway, "/inference-profiles", key=KEYS["narrow"]).json["inferenceProfileSummaries"]
    assert [each["inferenceProfileId"] for each in listed] == [name_for(BEDROCK, BEDROCK)]
    # Several aliases stand on this foundation model; the one that counts is the one that the caller may use.
    foundation = listed[0]["models"][0]["modelArn"].rpartition("/")[2]
    path, body = plain_count(BEDROCK, foundation, ASK)
    answer = ask_plainly(gateway.port, path, body, key=KEYS["narrow"])
    assert answer.status == 200, answer.body
    assert gateway.record(answer.value("request-id"))["provider"] == BEDROCK
    path, body = plain_count(BEDROCK, "anthropic.claude-via-vertex-20260101-v1:0", ASK)
    assert ask_plainly(gateway.port, path, body, key=KEYS["narrow"]).json["error"]["type"] == "policy_blocked"


def test_unknown_profile_is_not_found(gateway: Gateway) -> None:
    for name in ("claude-unheard-of", quote("arn:aws:bedrock:us-east-1::inference-profile/unheard-of", safe="")):
        answer = get(gateway, f"/inference-profiles/{name}")
        assert answer.status == 404
        assert answer.value("x-amzn-errortype") == "ResourceNotFoundException"


def test_an_application_profile_counts_nothing(gateway: Gateway, upstreams: Upstreams) -> None:
    for client, path_and_body in (
        (ANTHROPIC, plain_count(ANTHROPIC, "claude-profile", ASK)),
        (BEDROCK, plain_count(BEDROCK, quote(APPLICATION_PROFILE, safe=""), ASK)),
        (VERTEX, plain_count(VERTEX, "claude-profile", ASK)),
    ):
        answer = ask_plainly(gateway.port, *path_and_body)
        assert (answer.status, answer.value("x-should-retry")) == (501, "false"), client
        assert answer.json["error"]["type"] == "not_supported"
    assert upstreams[BEDROCK].received == []
