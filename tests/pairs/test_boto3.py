"""boto3 against the gateway: invoke, stream and count on every upstream, errors by their names, retries, carriers."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import bedrock, error, reply, sse, vertex
from tests.fake_provider.bedrock import ACCOUNT, frames_of
from tests.fake_provider.frames import exception
from tests.fake_provider.vertex import PROJECT
from tests.formats.golden import FORMATS, golden
from tests.harness import KEYS, Gateway
from tests.harness.formats import name_for
from tests.harness.tls import TlsEnd, write_certificate
from tests.pairs.clients import VERSIONS, amazon_client, encoded
from tests.pairs.conftest import Upstreams

UPSTREAM = pytest.mark.parametrize("upstream", FORMATS)


def body_of(text: str = "Say hello", **fields: Any) -> bytes:
    content = {"max_tokens": 64, "messages": [{"role": "user", "content": text}]}
    return encoded({"anthropic_version": VERSIONS[BEDROCK], **content, **fields})


@UPSTREAM
def test_invoke(upstream: str, amazon_sdk: Any, gateway: Gateway, upstreams: Upstreams) -> None:
    answer = amazon_sdk.invoke_model(modelId=name_for(BEDROCK, upstream), body=body_of("Grüß Gott ☃"))
    message = json.loads(answer["body"].read())
    assert message["content"] == [{"type": "text", "text": "You said: Grüß Gott ☃"}]
    assert answer["contentType"] == "application/json"
    told = answer["ResponseMetadata"]
    record = gateway.record(told["RequestId"])
    assert record["tokens"]["input"] == message["usage"]["input_tokens"]
    assert record["client_format"] == BEDROCK
    assert int(told["HTTPHeaders"]["x-amzn-bedrock-input-token-count"]) == message["usage"]["input_tokens"]


@UPSTREAM
def test_stream(upstream: str, amazon_sdk: Any, upstreams: Upstreams) -> None:
    answer = amazon_sdk.invoke_model_with_response_stream(
        modelId=name_for(BEDROCK, upstream), body=body_of("one two three")
    )
    events = [json.loads(part["chunk"]["bytes"]) for part in answer["body"]]
    text = "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
    assert text == "You said: one two three"
    assert events[-1]["type"] == "message_stop"
    assert answer["contentType"] == "application/json"


@UPSTREAM
def test_count_tokens(upstream: str, amazon_sdk: Any, gateway: Gateway, upstreams: Upstreams) -> None:
    def count(text: str) -> int:
        asked = {"invokeModel": {"body": body_of(text)}}
        answer = amazon_sdk.count_tokens(modelId=name_for(BEDROCK, upstream), input=asked)
        assert gateway.record(answer["ResponseMetadata"]["RequestId"])["operation"] == "count_tokens"
        return int(answer["inputTokens"])

    assert 0 < count("x") < 100 < 1000 <= count("x" * 4000)


def test_count_of_a_conversation_of_converse_is_not_supported_elsewhere(amazon_sdk: Any, upstreams: Upstreams) -> None:
    asked = {"converse": {"messages": [{"role": "user", "content": [{"text": "x"}]}]}}
    with pytest.raises(ClientError) as caught:
        amazon_sdk.count_tokens(modelId=name_for(BEDROCK, ANTHROPIC), input=asked)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


# (status of the upstream, status here, its name) by upstream
ERRORS: dict[str, list[tuple[int, int, str]]] = {
    ANTHROPIC: [
        (400, 400, "ValidationException"),
        (401, 500, "InternalServerException"),
        (402, 400, "ValidationException"),
        (403, 403, "AccessDeniedException"),
        (404, 404, "ResourceNotFoundException"),
        (409, 400, "ValidationException"),
        (413, 400, "ValidationException"),
        (422, 400, "ValidationException"),
        (429, 429, "ThrottlingException"),
        (500, 500, "InternalServerException"),
        (504, 408, "ModelTimeoutException"),
        (529, 503, "ServiceUnavailableException"),
    ],
    BEDROCK: [
        (400, 400, "ValidationException"),
        (403, 403, "AccessDeniedException"),
        (404, 404, "ResourceNotFoundException"),
        (408, 408, "ModelTimeoutException"),
        (424, 424, "ModelErrorException"),
        (429, 429, "ThrottlingException"),
        (500, 500, "InternalServerException"),
        (503, 503, "ServiceUnavailableException"),
    ],
    VERTEX: [
        (400, 400, "ValidationException"),
        (403, 403, "AccessDeniedException"),
        (404, 404, "ResourceNotFoundException"),
        (413, 400, "ValidationException"),
        (429, 429, "ThrottlingException"),
        (500, 500, "InternalServerException"),
        (503, 503, "ServiceUnavailableException"),
        (504, 408, "ModelTimeoutException"),
        (529, 503, "ServiceUnavailableException"),
    ],
}


@pytest.mark.parametrize(
    ("upstream", "status", "here", "name"),
    [(upstream, *row) for upstream, rows in ERRORS.items() for row in rows],
)
def test_errors_have_amazons_names(
    upstream: str, status: int, here: int, name: str, amazon_sdk: Any, upstreams: Upstreams
) -> None:
    for call in (amazon_sdk.invoke_model, amazon_sdk.invoke_model_with_response_stream):
        with pytest.raises(ClientError) as caught:
            call(modelId=name_for(BEDROCK, upstream), body=body_of(f"fail={status}"))
        answer = caught.value.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == here
        assert answer["Error"]["Code"] == name
        assert answer["Error"]["Message"]
        told = json.dumps(answer)
        assert ACCOUNT not in told
        assert PROJECT not in told
        assert "arn:" not in told
    kind = getattr(amazon_sdk.exceptions, name, ClientError)
    assert isinstance(caught.value, kind)


@UPSTREAM
def test_boto3_retries_what_the_upstream_was_too_busy_for(
    upstream: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    upstreams[upstream].script(
        *{
            ANTHROPIC: (reply(529, error("overloaded_error", "x")), reply(429, error("rate_limit_error", "x"))),
            BEDROCK: (bedrock.failure(503, "x"), bedrock.failure(429, "x")),
            VERTEX: (vertex.failure(529, "x"), vertex.failure(429, "x")),
        }[upstream]
    )
    client = amazon_client(gateway.url + "/bedrock", attempts=3)
    assert client.invoke_model(modelId=name_for(BEDROCK, upstream), body=body_of())["body"].read()
    client.close()
    assert len(upstreams[upstream].received) == 3


@UPSTREAM
def test_error_in_the_middle_of_a_stream_is_an_exception_of_the_stream(
    upstream: str, amazon_sdk: Any, upstreams: Upstreams
) -> None:
    events = golden("text").events[:4]
    failing = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    upstreams[upstream].script(
        {
            ANTHROPIC: lambda: vertex.of_events(*[sse(event) for event in [*events, failing]]),
            BEDROCK: lambda: bedrock.of_frames(*frames_of(events), exception("throttlingException", "Too many")),
            VERTEX: lambda: vertex.of_events(*[sse(event) for event in [*events, failing]]),
        }[upstream]()
    )
    answer = amazon_sdk.invoke_model_with_response_stream(modelId=name_for(BEDROCK, upstream), body=body_of())
    kinds: list[str] = []
    with pytest.raises(EventStreamError) as caught:
        kinds.extend(json.loads(part["chunk"]["bytes"])["type"] for part in answer["body"])
    assert kinds[0] == "message_start"
    assert caught.value.response["Error"]["Code"] == "throttlingException"


def test_a_header_by_hand_is_enough(gateway: Gateway, upstreams: Upstreams) -> None:
    client = amazon_client(gateway.url, key=KEYS["main"])
    assert client.invoke_model(modelId=name_for(BEDROCK, VERTEX), body=body_of())["body"].read()
    client.close()


@pytest.mark.parametrize("key", ["", "wrong-key-of-nobody-0000000001"])
def test_no_key_of_the_gateway_is_an_unrecognized_client(key: str, gateway: Gateway, upstreams: Upstreams) -> None:
    client = amazon_client(gateway.url + "/bedrock", key=key, attempts=3)
    with pytest.raises(ClientError) as caught:
        client.invoke_model(modelId=name_for(BEDROCK, BEDROCK), body=body_of())
    client.close()
    answer = caught.value.response
    assert answer["Error"]["Code"] == "UnrecognizedClientException"
    assert "key" in answer["Error"]["Message"].lower()
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 401
    assert answer["ResponseMetadata"]["RetryAttempts"] == 0
    assert upstreams[BEDROCK].received == []


def signing_client(url: str, **options: Any) -> Any:
    keys = {"aws_access_key_id": "AKIAOFTHECLIENT00001", "aws_secret_access_key": "secret/of+the/client"}
    settings = Config(retries={"total_max_attempts": 1})
    return boto3.client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=settings, **keys, **options
    )


def test_a_signature_is_refused_with_words(gateway: Gateway, upstreams: Upstreams) -> None:
    client = signing_client(gateway.url + "/bedrock")
    with pytest.raises(ClientError) as caught:
        client.invoke_model(modelId=name_for(BEDROCK, BEDROCK), body=body_of())
    client.close()
    answer = caught.value.response
    assert answer["Error"]["Code"] == "UnrecognizedClientException"
    assert "x-api-key" in answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 401


@UPSTREAM
def test_bearer_key_over_tls(
    upstream: str, gateway: Gateway, upstreams: Upstreams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = write_certificate(tmp_path)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", KEYS["main"])
    with TlsEnd(gateway.port, certificate) as end:
        client = boto3.client(
            "bedrock-runtime",
            region_name="us-east-1",
            endpoint_url=f"https://127.0.0.1:{end.port}/bedrock",
            verify=str(certificate),
        )
        model = name_for(BEDROCK, upstream)
        assert client.invoke_model(modelId=model, body=body_of())["body"].read()
        answer = client.invoke_model_with_response_stream(modelId=model, body=body_of())
        assert [json.loads(part["chunk"]["bytes"]) for part in answer["body"]][-1]["type"] == "message_stop"
        assert client.count_tokens(modelId=model, input={"invokeModel": {"body": body_of()}})["inputTokens"] > 0
        client.close()


def test_a_key_beside_a_signature_is_taken(gateway: Gateway, upstreams: Upstreams) -> None:
    client = signing_client(gateway.url + "/bedrock")

    def add_key(request: Any, **_: Any) -> None:
        request.headers["x-api-key"] = KEYS["main"]

    client.meta.events.register("before-sign.bedrock-runtime", add_key)
    assert client.invoke_model(modelId=name_for(BEDROCK, ANTHROPIC), body=body_of())["body"].read()
    client.close()
