"""A request goes on to the next target only before the client has its first byte, and every call is on the record."""

import pytest

from tests.fake_provider import Die, FakeProvider, Hang, error, raw, reply, stream
from tests.gateway.bodies import BLOCK, START, WHOLE, ask, assert_error, delta, message
from tests.harness import Gateway


def attempts_of(gateway: Gateway, answer_id: str) -> list[tuple[str, str, int]]:
    record = gateway.record(answer_id)
    return [(attempt["provider"], attempt["model"], attempt["status"]) for attempt in record["attempts"]]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
@pytest.mark.parametrize("streamed", [False, True])
def test_busy_target_is_followed_by_the_next(
    status: int, streamed: bool, gateway: Gateway, provider: FakeProvider, second: FakeProvider
) -> None:
    # A target that says 429 rests; this one says that it needs no rest, for the tests that follow.
    provider.script(reply(status, error("overloaded_error", "busy"), [("retry-after", "0")]))
    answer = gateway.post(ask(model="claude-two", stream=streamed))
    assert answer.status == 200
    assert second.received[-1].json["model"] == "claude-second"
    request_id = answer.value("request-id")
    first, last = ("anthropic-main", "claude-first", status), ("anthropic-second", "claude-second", 200)
    assert attempts_of(gateway, request_id) == [first, last]
    record = gateway.record(request_id)
    assert (record["outcome"], record["provider"], record["upstream_model"]) == (
        "served",
        "anthropic-second",
        "claude-second",
    )
    assert record["attempts"][0]["error"]
    assert all(attempt["duration_ms"] >= 0 for attempt in record["attempts"])


def test_refused_connection_is_followed_by_the_next(gateway: Gateway, second: FakeProvider) -> None:
    answer = gateway.post(ask(model="claude-dead"))
    assert answer.status == 200
    assert len(second.received) == 1
    first, last = attempts_of(gateway, answer.value("request-id"))
    assert first == ("anthropic-dead", "claude-dead", 0)
    assert last[0] == "anthropic-second"


@pytest.mark.parametrize("how", ["reset", "fin"])
def test_death_before_the_head_is_followed_by_the_next(
    how: str, gateway: Gateway, provider: FakeProvider, second: FakeProvider
) -> None:
    provider.on_model("claude-first", raw(Die("reset" if how == "reset" else "fin")))
    answer = gateway.post(ask(model="claude-two"))
    assert answer.status == 200
    assert len(second.received) == 1


@pytest.mark.parametrize(("status", "kind"), [(400, "invalid_request_error"), (413, "request_too_large")])
def test_clients_own_fault_is_told_and_not_tried_elsewhere(
    status: int, kind: str, gateway: Gateway, provider: FakeProvider, second: FakeProvider
) -> None:
    provider.script(reply(status, error(kind, "your fault")))
    answer = gateway.post(ask(model="claude-two"))
    assert assert_error(answer, status, kind) == "your fault"
    assert second.received == []


def test_last_failure_is_told_when_all_targets_fail(
    gateway: Gateway, provider: FakeProvider, second: FakeProvider
) -> None:
    provider.on_model("claude-first", reply(529, error("overloaded_error", "first is busy")))
    second.on_model("claude-second", reply(503, error("api_error", "second is down")))
    answer = gateway.post(ask(model="claude-two"))
    assert answer.status in (503, 529)
    assert_error(answer, answer.status, answer.json["error"]["type"])
    assert len(provider.received) + len(second.received) == 2
    record = gateway.record(answer.value("request-id"))
    assert record["outcome"] == "upstream_error"
    assert [attempt["status"] for attempt in record["attempts"]] == [529, 503]


def test_no_fallback_once_the_stream_has_begun(gateway: Gateway, provider: FakeProvider, second: FakeProvider) -> None:
    provider.script(stream(START, BLOCK, delta("x"), Die("reset")))
    answer = gateway.post(ask(model="claude-two", stream=True))
    assert b"event: error" in answer.body
    assert second.received == []


def test_failed_answers_connection_is_used_again(
    gateway: Gateway, provider: FakeProvider, second: FakeProvider
) -> None:
    for _ in range(3):
        provider.script(reply(503, error("api_error", "down")))
        assert gateway.post(ask(model="claude-two")).status == 200
    assert len({request.connection for request in provider.received}) == 1


def test_error_body_that_never_ends_does_not_hold_up_the_fallback(
    gateway: Gateway, provider: FakeProvider, second: FakeProvider
) -> None:
    head = b"HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"
    provider.script(raw(head, Hang()))
    second.script(stream(*WHOLE))
    answer = gateway.post(ask(model="claude-two", stream=True))
    assert (answer.status, answer.body) == (200, b"".join(WHOLE))


def test_second_provider_gets_its_own_credential(
    gateway: Gateway, provider: FakeProvider, second: FakeProvider
) -> None:
    provider.script(reply(503, b""))
    second.script(reply(200, message()))
    assert gateway.post(ask(model="claude-two")).status == 200
    assert second.received[-1].values("x-api-key") == []
