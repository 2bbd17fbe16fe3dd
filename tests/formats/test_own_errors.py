"""Every row of the table of refusals that the gateway makes itself, in each client's shape."""

import json
from typing import Any

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX, header
from routing.formats.errors import refusal_of, render_error
from routing.formats.faults import NotBridgeable
from routing.proxy import errors
from routing.proxy.errors import GatewayError
from tests.formats.golden import FORMATS

BUDGET = GatewayError(429, "billing_error", "The budget is spent.", "budget", retry=False, retry_after=3600)
RATE = GatewayError(429, "rate_limit_error", "Too many requests.", "rate_limit", retry_after=7)
# case: (refusal, status to A and V, status to B, Bedrock's name, x-should-retry, retry-after)
ROWS: dict[str, tuple[GatewayError, int, int, str, bytes, bytes]] = {
    "missing or wrong key": (
        *(errors.unauthenticated("No key.", "no_key"), 401, 401),
        *("UnrecognizedClientException", b"false", b""),
    ),
    "policy": (errors.policy_blocked("Not for you.", "model"), 400, 400, "ValidationException", b"false", b""),
    "unknown model": (errors.unknown_model("x"), 404, 404, "ResourceNotFoundException", b"", b""),
    "rate limit": (RATE, 429, 429, "ThrottlingException", b"", b"7"),
    "budget": (BUDGET, 429, 429, "ThrottlingException", b"false", b"3600"),
    "capability": (
        *(refusal_of(NotBridgeable("system turns", BEDROCK, "mid_conv_system")), 400, 400),
        *("ValidationException", b"", b""),
    ),
    "not implemented": (errors.not_supported("No batches."), 501, 501, "ValidationException", b"false", b""),
    "body too large": (errors.too_large(5), 413, 413, "ValidationException", b"", b""),
    "no target": (errors.overloaded("Nobody is there.", 5), 529, 503, "ServiceUnavailableException", b"", b"5"),
    "upstream failed": (errors.upstream_failed("Oh.", "connect"), 502, 500, "InternalServerException", b"", b""),
    "upstream timed out": (
        *(errors.upstream_failed("Late.", "timeout", status=504, type="timeout_error"), 504, 408),
        *("ModelTimeoutException", b"", b""),
    ),
    "shutting down": (errors.shutting_down(), 503, 503, "ServiceUnavailableException", b"", b"1"),
}


@pytest.mark.parametrize("client", FORMATS)
@pytest.mark.parametrize("name", ROWS)
def test_row_of_the_refusal_table(name: str, client: str) -> None:
    refusal, status, bedrock_status, amazon_name, retry, after = ROWS[name]
    code, headers, raw = render_error(client, refusal, "req_ours")
    body: dict[str, Any] = json.loads(raw)
    assert code == (bedrock_status if client == BEDROCK else status)
    assert (body["type"], body["request_id"]) == ("error", "req_ours")
    assert body["error"] == {"type": refusal.type, "message": refusal.message}
    assert header(headers, b"x-should-retry") == retry
    assert header(headers, b"retry-after") == after
    assert header(headers, b"x-amzn-errortype").decode() == (amazon_name if client == BEDROCK else "")
    assert body.get("message") == (refusal.message if client == BEDROCK else None)


def test_a_feature_that_cannot_be_carried_is_named_with_the_upstream() -> None:
    for client in FORMATS:
        refusal = refusal_of(NotBridgeable("A file of the Files API (file_id)", BEDROCK))
        status, _, body = render_error(client, refusal, "r")
        assert status == 400
        assert b"file_id" in body
        assert b"bedrock" in body


def test_a_capability_stands_alone_in_the_text() -> None:
    _, _, body = render_error(ANTHROPIC, refusal_of(NotBridgeable("x", VERTEX, "mid_conv_system")), "r")
    assert json.loads(body)["error"]["message"] == "capability_rejected: mid_conv_system"


def test_an_operation_that_an_upstream_lacks_is_not_tried_again() -> None:
    status, headers, body = render_error(VERTEX, refusal_of(NotBridgeable("Counting", BEDROCK, status=501)), "r")
    assert (status, json.loads(body)["error"]["type"]) == (501, "not_supported")
    assert header(headers, b"x-should-retry") == b"false"


def test_converse_is_not_found() -> None:
    status, headers, _ = render_error(BEDROCK, refusal_of(NotBridgeable("Converse", "gateway", status=404)), "r")
    assert (status, header(headers, b"x-amzn-errortype")) == (404, b"ResourceNotFoundException")
