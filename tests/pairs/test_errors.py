"""Errors of upstreams, as clients of each format get them through the running gateway."""

from typing import Any

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import bedrock, error, raw, reply, vertex
from tests.fake_provider.answers import Answer
from tests.fake_provider.bedrock import ARN
from tests.fake_provider.vertex import PROJECT
from tests.formats.golden import FORMATS, PAIRS
from tests.harness import Gateway
from tests.harness.formats import name_for
from tests.pairs.asking import ask, asked, assert_nothing_of_the_account, assert_shape
from tests.pairs.conftest import Upstreams
from tests.pairs.sdk_scenarios import STATUSES

EACH_PAIR = pytest.mark.parametrize(("client", "upstream"), PAIRS)
EACH_CLIENT = pytest.mark.parametrize("client", FORMATS)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


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
