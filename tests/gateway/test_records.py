"""Every request leaves exactly one record, with what was asked, who asked, where it went, and what it used."""

import datetime
import uuid
from typing import Any

import pytest

from tests.fake_provider import FakeProvider, reply, sse, stream
from tests.gateway.bodies import BLOCK, STOP, STOP_BLOCK, ask, delta, message, usage
from tests.harness import KEYS, Gateway

FULL_USAGE = {
    "input_tokens": 3,
    "output_tokens": 17,
    "cache_read_input_tokens": 1000,
    "cache_creation_input_tokens": 300,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
    "service_tier": "standard",
}
FULL_TOKENS = {"input": 3, "output": 17, "cache_read": 1000, "cache_write_5m": 100, "cache_write_1h": 200}


def test_record_has_every_field(gateway: Gateway, provider: FakeProvider) -> None:
    before = datetime.datetime.now(datetime.UTC)
    provider.script(reply(200, message(usage=FULL_USAGE), [("request-id", "req_upstream_77")]))
    session = str(uuid.uuid4())
    headers = [
        ("x-claude-code-session-id", session),
        ("x-claude-code-agent-id", "agent-7"),
        ("x-claude-code-parent-agent-id", "agent-1"),
        ("user-agent", "claude-cli/2.1.330 (external, cli)"),
    ]
    answer = gateway.post(ask(model="claude-alias"), headers=headers)
    record = gateway.record(answer.value("request-id"))
    started = datetime.datetime.fromisoformat(record["started_at"])
    assert before - datetime.timedelta(seconds=1) <= started <= datetime.datetime.now(datetime.UTC)
    expected: dict[str, Any] = {
        "client_format": "anthropic",
        "operation": "messages",
        "stream": False,
        "team": "alpha",
        "project": "one",
        "key": "main",
        "key_prefix": KEYS["main"][:8],
        "user": "",
        "session_id": session,
        "agent_id": "agent-7",
        "client_ip": "127.0.0.1",
        "user_agent": "claude-cli/2.1.330 (external, cli)",
        "alias": "claude-alias",
        "provider": "anthropic-main",
        "upstream_model": "claude-upstream-20260101",
        "status": 200,
        "outcome": "served",
        "tokens": FULL_TOKENS,
        "web_searches": 2,
        "estimated": False,
        "betas_removed": [],
        "fields_removed": [],
        "error": None,
    }
    assert {name: record[name] for name in expected} == expected
    (attempt,) = record["attempts"]
    assert (
        attempt.items()
        >= {
            "provider": "anthropic-main",
            "model": "claude-upstream-20260101",
            "status": 200,
        }.items()
    )
    assert 0 < record["ttft_ms"] <= record["duration_ms"]


def test_stream_is_recorded_with_its_last_word_on_usage(gateway: Gateway, provider: FakeProvider) -> None:
    start = sse({"type": "message_start", "message": {**message(), "usage": {**FULL_USAGE, "output_tokens": 1}}})
    end = sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 17}})
    none = sse({"type": "message_delta", "delta": {}})
    provider.script(stream(start, BLOCK, delta("x"), STOP_BLOCK, none, end, STOP))
    answer = gateway.post(ask(stream=True))
    record = gateway.record(answer.value("request-id"))
    assert (record["stream"], record["outcome"], record["tokens"]) == (True, "served", FULL_TOKENS)
    assert record["web_searches"] == 2
    assert 0 < record["ttft_ms"] <= record["duration_ms"]


def test_last_delta_overrides_the_start_field_by_field(gateway: Gateway, provider: FakeProvider) -> None:
    start = sse({"type": "message_start", "message": {**message(), "usage": usage(cache_read_input_tokens=5)}})
    deltas = [
        sse({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 10, "input_tokens": 20}}),
        sse({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 30, "cache_read_input_tokens": None}}),
    ]
    provider.script(stream(start, BLOCK, STOP_BLOCK, *deltas, STOP))
    answer = gateway.post(ask(stream=True))
    tokens = gateway.record(answer.value("request-id"))["tokens"]
    assert (tokens["input"], tokens["output"], tokens["cache_read"]) == (20, 30, 5)


@pytest.mark.parametrize("streamed", [False, True])
def test_usage_equals_the_providers_books(streamed: bool, gateway: Gateway, provider: FakeProvider) -> None:
    marked = [{"type": "text", "text": "long prompt", "cache_control": {"type": "ephemeral"}}]
    kept = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    body = ask(system=marked, stream=streamed, messages=[{"role": "user", "content": kept}])
    answer = gateway.post(body)
    tokens = gateway.record(answer.value("request-id"))["tokens"]
    (booked,) = provider.books.values()
    assert tokens == {
        "input": booked["input_tokens"],
        "output": booked["output_tokens"],
        "cache_read": booked["cache_read_input_tokens"],
        "cache_write_5m": booked["cache_creation"]["ephemeral_5m_input_tokens"],
        "cache_write_1h": booked["cache_creation"]["ephemeral_1h_input_tokens"],
    }
    assert tokens["cache_write_1h"] == 200
    assert tokens["cache_write_5m"] == 100


@pytest.mark.parametrize("strange", [{"output_tokens": -1}, {"output_tokens": "many"}, {"output_tokens": 1e300}, [], 1])
def test_absurd_usage_breaks_nothing(strange: object, gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(reply(200, message(usage=strange)))
    answer = gateway.post(ask())
    assert answer.status == 200
    record = gateway.record(answer.value("request-id"))
    assert record["outcome"] == "served"
    assert record["tokens"]["output"] >= 0


def test_answer_without_usage_is_marked_as_estimated(gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(reply(200, {"id": "m", "type": "message", "content": []}))
    answer = gateway.post(ask())
    assert gateway.record(answer.value("request-id"))["estimated"] is True


def test_count_tokens_is_recorded_as_such(gateway: Gateway) -> None:
    answer = gateway.post(
        {"model": "claude-alias", "messages": [{"role": "user", "content": "x"}]}, "/v1/messages/count_tokens"
    )
    record = gateway.record(answer.value("request-id"))
    assert (record["operation"], record["outcome"], record["alias"]) == ("count_tokens", "served", "claude-alias")
    assert record["upstream_model"] == "claude-upstream-20260101"
    assert set(record["tokens"].values()) == {0}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/claude-same"])
def test_model_lists_are_recorded(path: str, gateway: Gateway, provider: FakeProvider) -> None:
    record = gateway.record(gateway.get(path).value("request-id"))
    assert (record["operation"], record["outcome"], record["status"], record["key"]) == (
        "models",
        "served",
        200,
        "main",
    )
    assert record["attempts"] == []
    assert provider.received == []


def test_personal_key_records_its_owner(gateway: Gateway) -> None:
    record = gateway.record(gateway.post(ask(), key=KEYS["personal"]).value("request-id"))
    assert (record["user"], record["key"]) == ("ada@example.org", "personal")


def test_session_of_the_metadata_is_recorded(gateway: Gateway) -> None:
    user_id = '{"device_id":"d","account_uuid":"a","session_id":"0f0e-metadata"}'
    record = gateway.record(gateway.post(ask(metadata={"user_id": user_id})).value("request-id"))
    assert record["session_id"] == "0f0e-metadata"


def test_records_are_found_by_their_filters(gateway: Gateway) -> None:
    session = str(uuid.uuid4())
    header = [("x-claude-code-session-id", session)]
    gateway.post(ask(model="claude-alias"), headers=header)
    gateway.post(ask(model="claude-same"), headers=header, key=KEYS["beta"])
    gateway.post(b"{", headers=header)
    assert len(gateway.wait_records(3, session_id=session)) == 3
    filters = {
        "team": "beta",
        "project": "one",
        "key": "beta",
        "alias": "claude-same",
        "provider": "anthropic-main",
        "model": "claude-same",
        "outcome": "served",
    }
    for name, value in filters.items():
        found = gateway.records(session_id=session, **{name: value})
        assert any(record["team"] == "beta" for record in found), (name, value)
    assert [record["outcome"] for record in gateway.records(session_id=session, outcome="refused")] == ["refused"]
    assert len(gateway.records(session_id=session, team="alpha")) == 2


def test_no_secret_and_no_word_of_a_body_is_logged(gateway: Gateway, provider: FakeProvider) -> None:
    from tests.harness import UPSTREAM_CREDENTIAL

    gateway.post(ask("a very private sentence"))
    provider.script(reply(500, b"a very private sentence"))
    gateway.post(ask("a very private sentence"))
    logged = gateway.errors.read_text()
    for word in ("a very private sentence", UPSTREAM_CREDENTIAL, *KEYS.values()):
        assert word not in logged
