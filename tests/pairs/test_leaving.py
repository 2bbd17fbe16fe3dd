"""A client that leaves at any event of a stream: always a record, exact where the stream is drained, close where it is not."""

from decimal import Decimal
from typing import Any

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import Answer, Gate, Hang, Pause, sse, stream
from tests.fake_provider.answers import Step
from tests.fake_provider.bedrock import of_frames
from tests.fake_provider.frames import chunk
from tests.fake_provider.vertex import of_events
from tests.formats.golden import FORMATS
from tests.gateway.bodies import message
from tests.harness import Gateway
from tests.harness.formats import name_for
from tests.pairs.asking import asked
from tests.pairs.clients import begin_plainly, plain, stream_bytes
from tests.pairs.conftest import Upstreams

TEXT = "Forty characters of text, more or less. " * 10  # 100 tokens by the rule of thumb
DELTAS = 6
PROMPT = {"input_tokens": 1000, "cache_read_input_tokens": 500}


def counted(deltas: int) -> int:
    """What the upstream has counted after so many deltas: a little more than characters tell."""
    return 1 + 102 * deltas


def events() -> list[dict[str, Any]]:
    start = {**message(), "content": [], "stop_reason": None, "usage": {**PROMPT, "output_tokens": 1}}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}}
    end = {"output_tokens": counted(DELTAS)}
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[text] * DELTAS,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": end},
        {"type": "message_stop"},
    ]


EVENTS = events()
INDEXES = range(len(EVENTS))


def answer(upstream: str, *pieces: Step | bytes) -> Answer:
    if upstream == BEDROCK:
        return of_frames(*pieces)
    return of_events(*pieces) if upstream == VERTEX else stream(*pieces)


def left_at(index: int, client: str, model: str, gateway: Gateway, gate: Gate) -> str:
    """Asks for a stream, reads what stands before the event with this index, and leaves. Returns the request's id."""
    path, body = plain(client, model, asked("x" * 6000), stream=True)
    seen = stream_bytes(client, EVENTS)[:index]
    with gateway.client() as connection:
        begin_plainly(connection, path, body)
        head = connection.head()
        assert head.status == 200
        assert gate.reached.wait(10)
        mark = b"message_start" if client != BEDROCK else b"chunk"
        if seen:
            connection.until(mark)
        connection.leave()
    return head.value("request-id")


@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("index", INDEXES)
def test_cancelled(index: int, upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    gate = Gate()
    gate.open()
    pieces = stream_bytes(upstream, EVENTS)
    before = len(pieces) - len(EVENTS) + index  # Vertex has an event of its own in front
    upstreams[upstream].script(answer(upstream, *pieces[:before], gate, Hang()))
    request_id = left_at(index, ANTHROPIC, name_for(ANTHROPIC, upstream), gateway, gate)
    upstreams[upstream].wait_closed(upstreams[upstream].received[-1])
    record = gateway.record(request_id, timeout=5)
    assert (record["outcome"], record["estimated"]) == ("client_left", True)
    tokens = record["tokens"]
    deltas = min(max(0, index - 2), DELTAS)
    if index == 0:  # nothing was heard: the prompt by its size, no output
        assert tokens["input"] == pytest.approx(6000 / 4, rel=0.05)
        assert tokens["output"] == 0
    else:
        assert (tokens["input"], tokens["cache_read"]) == (1000, 500)
        assert tokens["output"] == pytest.approx(counted(deltas), rel=0.05)
    price = {name: Decimal(value) for name, value in record["price"].items() if name in tokens}
    factor = Decimal(record["price"]["multipliers"].get("geo", "1"))
    assert Decimal(record["cost_usd"]) == sum(price[name] * tokens[name] for name in price) / 1_000_000 * factor


@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("index", INDEXES)
def test_drained(index: int, upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    gate, waits = Gate(), Gate()
    pieces = stream_bytes(upstream, EVENTS)
    before = len(pieces) - len(EVENTS) + index
    waits.open()
    # The pause lets the gateway notice that the client is gone; nothing outside tells when it has.
    upstreams[upstream].script(answer(upstream, *pieces[:before], waits, gate, Pause(0.1), *pieces[before:]))
    request_id = left_at(index, ANTHROPIC, f"claude-drained-{upstream}", gateway, waits)
    gate.open()
    record = gateway.record(request_id, timeout=5)
    assert (record["outcome"], record["estimated"]) == ("client_left", False)
    assert (record["tokens"]["input"], record["tokens"]["cache_read"]) == (1000, 500)
    assert record["tokens"]["output"] == counted(DELTAS)
    # 1000 x 4 + 500 x 0.20 + 613 x 20 dollars for a million, a tenth more at a regional endpoint
    assert record["cost_usd"] == ("0.016360000000" if upstream == ANTHROPIC else "0.017996000000")


# What a request that was sent once more is


def test_a_request_sent_again_after_its_stream_broke_is_recognised(gateway: Gateway, upstreams: Upstreams) -> None:
    session = [("x-claude-code-session-id", "sent-again")]
    broken = {"type": "error", "error": {"type": "api_error", "message": "broken"}}
    upstreams[ANTHROPIC].script(stream(*map(sse, [*EVENTS[:3], broken])))
    model = name_for(ANTHROPIC, ANTHROPIC)
    ids = []
    for streamed, text in ((True, "once"), (False, "once"), (False, "once"), (False, "another")):
        path, body = plain(ANTHROPIC, model, asked(text), stream=streamed)
        with gateway.client() as connection:
            begin_plainly(connection, path, body, headers=session)
            ids.append(connection.reply().value("request-id"))
    records = {each["request_id"]: each for each in gateway.wait_records(4, session_id="sent-again")}
    assert [records[each]["resend_of"] for each in ids] == ["", ids[0], "", ""]
    assert records[ids[0]]["outcome"] == "upstream_error"


# What failures cost


@pytest.mark.parametrize("upstream", FORMATS)
def test_an_error_before_the_first_word_costs_nothing(upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    broken = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    upstreams[upstream].script(answer(upstream, *stream_bytes(upstream, [EVENTS[0], broken])))
    path, body = plain(ANTHROPIC, name_for(ANTHROPIC, upstream), asked(), stream=True)
    with gateway.client() as connection:
        begin_plainly(connection, path, body)
        record = gateway.record(connection.reply().value("request-id"))
    assert (record["outcome"], record["cost_usd"], record["price"]) == ("upstream_error", "0.000000000000", None)


def test_an_error_after_the_first_word_costs_what_was_said(gateway: Gateway, upstreams: Upstreams) -> None:
    broken = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    upstreams[ANTHROPIC].script(stream(*map(sse, [*EVENTS[:3], broken])))
    path, body = plain(ANTHROPIC, name_for(ANTHROPIC, ANTHROPIC), asked(), stream=True)
    with gateway.client() as connection:
        begin_plainly(connection, path, body)
        record = gateway.record(connection.reply().value("request-id"))
    # 1000 x 4 + 500 x 0.20 + 100 x 20
    assert (record["outcome"], record["estimated"], record["cost_usd"]) == ("upstream_error", True, "0.006100000000")


def test_refusals_and_counts_cost_nothing(gateway: Gateway, upstreams: Upstreams) -> None:
    path, body = plain(ANTHROPIC, name_for(ANTHROPIC, ANTHROPIC), asked("fail=529"))
    with gateway.client() as connection:
        begin_plainly(connection, path, body)
        refused = gateway.record(connection.reply().value("request-id"))
    assert (refused["cost_usd"], refused["price"], refused["estimated"]) == ("0.000000000000", None, False)


# What Amazon counts beside


def test_amazons_own_count_that_differs_is_on_the_record(gateway: Gateway, upstreams: Upstreams) -> None:
    told = {**EVENTS[-1], "amazon-bedrock-invocationMetrics": {"inputTokenCount": 999, "outputTokenCount": 613}}
    pieces = stream_bytes(BEDROCK, EVENTS)
    upstreams[BEDROCK].script(of_frames(*pieces[:-1], chunk(told)))
    path, body = plain(ANTHROPIC, name_for(ANTHROPIC, BEDROCK), asked(), stream=True)
    with gateway.client() as connection:
        begin_plainly(connection, path, body)
        record = gateway.record(connection.reply().value("request-id"))
    assert (record["outcome"], record["reason"], record["estimated"]) == ("served", "usage_differs", True)
    assert record["tokens"]["input"] == 1000


def test_usage_that_is_missing_is_estimated_and_on_the_record(gateway: Gateway, upstreams: Upstreams) -> None:
    bare = [{**each, "usage": None} if each["type"] == "message_delta" else each for each in EVENTS]
    start = {**EVENTS[0]["message"], "usage": None}
    upstreams[ANTHROPIC].script(stream(*map(sse, [{**EVENTS[0], "message": start}, *bare[1:]])))
    path, body = plain(ANTHROPIC, name_for(ANTHROPIC, ANTHROPIC), asked("x" * 4000), stream=True)
    with gateway.client() as connection:
        begin_plainly(connection, path, body)
        record = gateway.record(connection.reply().value("request-id"))
    assert (record["outcome"], record["reason"], record["estimated"]) == ("served", "usage_doubtful", True)
    assert record["tokens"]["input"] == pytest.approx(1000, rel=0.05)
    assert record["tokens"]["output"] == 100 * DELTAS
