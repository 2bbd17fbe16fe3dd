"""What some upstreams cannot carry or do not know: another target, a refusal by name, betas left out."""

import json
from typing import Any

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import bedrock
from tests.formats.golden import FORMATS
from tests.harness import Gateway
from tests.harness.formats import name_for
from tests.pairs.asking import ask, asked, assert_shape
from tests.pairs.conftest import Upstreams

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


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
    answer = ask(gateway, client, "claude-capable", asked(), stream=stream, headers=headers)
    assert answer.status == 200, answer.body
    first, second = (json.loads(request.body) for request in upstreams[BEDROCK].received)
    assert NEWER in first["anthropic_beta"]
    assert second.get("anthropic_beta", []) == [beta for beta in betas.split(",") if beta == KNOWN]
    record = gateway.record(answer.value("request-id"))
    assert record["betas_removed"] == [NEWER]
    assert [attempt["status"] for attempt in record["attempts"]] == [400, 200]


def test_a_route_of_one_call_leaves_the_repair_to_the_client(gateway: Gateway, upstreams: Upstreams) -> None:
    upstreams.bedrock.known_betas, upstreams.bedrock.complaint = frozenset(), "invalid beta flag"
    headers = [("anthropic-beta", NEWER)]
    answer = ask(gateway, ANTHROPIC, name_for(ANTHROPIC, BEDROCK), asked(), headers=headers)
    assert assert_shape(answer, ANTHROPIC, 400) == f"capability_rejected: beta_header:{NEWER}"
    assert len(upstreams[BEDROCK].received) == 1


def test_a_beta_refused_among_several_without_a_name_is_the_clients_to_repair(
    gateway: Gateway, upstreams: Upstreams
) -> None:
    upstreams.bedrock.known_betas, upstreams.bedrock.complaint = frozenset(), "invalid beta flag"
    headers = [("anthropic-beta", f"{KNOWN},{NEWER}")]
    answer = ask(gateway, ANTHROPIC, "claude-capable", asked(), headers=headers)
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
