"""The meter reads the same from a stream however it is cut, and knows where a ping may stand."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.formats.meter import StreamMeter, usage_of


def event(name: str, **data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data}, ensure_ascii=False)}\n\n".encode()


STREAM = b"".join(
    [
        event(
            "message_start",
            message={
                "id": "msg_1",
                "usage": {
                    "input_tokens": 12,
                    "output_tokens": 1,
                    "cache_read_input_tokens": 7,
                    "cache_creation_input_tokens": 30,
                    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                },
            },
        ),
        event("ping"),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Grüße, 世界: message_stop"}),
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"a":\n'}),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 42, "input_tokens": None}),
        event("message_stop"),
    ]
)


def read(chunks: list[bytes]) -> StreamMeter:
    meter = StreamMeter()
    for chunk in chunks:
        meter.feed(chunk)
    return meter


def check(meter: StreamMeter) -> None:
    usage = meter.usage
    assert (usage.input, usage.output, usage.cache_read) == (12, 42, 7)
    assert (usage.cache_write_5m, usage.cache_write_1h) == (10, 20)
    assert usage.seen
    assert not usage.doubtful
    assert meter.finished
    assert meter.error is None
    assert meter.at_boundary
    assert meter.characters == len("Grüße, 世界: message_stop") + len('{"a":\n')


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_stream_reads_the_same_whole_and_byte_by_byte(line_end: bytes) -> None:
    stream = STREAM.replace(b"\n", line_end)
    check(read([stream]))
    check(read([stream[i : i + 1] for i in range(len(stream))]))


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    points = [0, *sorted(cuts), len(STREAM)]
    check(read([STREAM[a:b] for a, b in pairwise(points)]))


def test_a_ping_may_stand_only_between_events() -> None:
    meter = StreamMeter()
    assert meter.at_boundary
    first = STREAM.index(b"\n\n") + 2
    for position in range(1, first):
        meter.feed(STREAM[position - 1 : position])
        assert not meter.at_boundary
    meter.feed(STREAM[first - 1 : first])
    assert meter.at_boundary


def test_an_error_event_ends_the_stream() -> None:
    meter = read([event("error", error={"type": "overloaded_error", "message": "Overloaded"})])
    assert meter.ended
    assert not meter.finished
    assert meter.error is not None
    assert (meter.error.type, meter.error.message) == ("overloaded_error", "Overloaded")


@pytest.mark.parametrize(
    "text",
    [
        b"event: message_delta\ndata: {broken\n\n",
        b"data: 17\n\n",
        b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":3}\n\n",
        b"event: error\ndata: not json\n\n",
        b"\xff\xfe\x00message_delta\n\n",
        b"event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":[1]}\n\n",
    ],
)  # fmt: skip
def test_nonsense_neither_raises_nor_reports_usage(text: bytes) -> None:
    meter = read([text])
    assert not meter.usage.seen


@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    read([data, data[:7], b"\n\n"])


@pytest.mark.parametrize("value", [-1, 1.5, True, "nine", 10**20, float("nan")])
def test_an_unbelievable_number_is_marked_and_not_taken(value: object) -> None:
    meter = StreamMeter()
    meter.feed(event("message_start", message={"usage": {"input_tokens": value, "output_tokens": 3}}))
    assert meter.usage.input == 0
    if value == value:  # JSON has no NaN: such an event is not read at all
        assert meter.usage.doubtful
        assert meter.usage.output == 3


@pytest.mark.parametrize(("said", "output", "doubtful"), [("x" * 40, 50, False), ("x" * 400, 100, True)])
def test_a_start_value_is_not_the_output_of_a_stream_that_said_more(said: str, output: int, doubtful: bool) -> None:
    meter = StreamMeter()
    meter.feed(event("message_start", message={"usage": {"input_tokens": 3, "output_tokens": 50}}))
    meter.feed(event("content_block_delta", index=0, delta={"type": "text_delta", "text": said}))
    meter.feed(event("message_stop"))
    meter.usage.complete(size=100, characters=meter.characters)
    assert (meter.usage.output, meter.usage.doubtful) == (output, doubtful)


def test_amazons_numbers_stand_in_for_usage_that_is_missing() -> None:
    told = {"inputTokenCount": 7, "outputTokenCount": 9, "cacheReadInputTokenCount": 5}
    meter = StreamMeter()
    meter.feed(event("message_start", message={"usage": None}))
    meter.feed(event("message_stop", **{"amazon-bedrock-invocationMetrics": told}))
    assert (meter.usage.input, meter.usage.output, meter.usage.cache_read) == (7, 9, 5)
    assert meter.usage.doubts == ["metrics_differ"]


@pytest.mark.parametrize("told", [{"inputTokenCount": 3, "outputTokenCount": 4}, {}, [1], None, {"x": "y"}])
def test_numbers_of_amazon_that_agree_are_no_doubt(told: object) -> None:
    meter = StreamMeter()
    meter.feed(event("message_start", message={"usage": {"input_tokens": 3, "output_tokens": 4}, "model": "claude-x"}))
    meter.feed(event("message_stop", **{"amazon-bedrock-invocationMetrics": told}))
    assert not meter.usage.doubtful
    assert meter.usage.model == "claude-x"


def test_usage_of_a_whole_answer() -> None:
    usage = usage_of(
        b'{"usage":{"input_tokens":3,"output_tokens":4,"server_tool_use":{"web_search_requests":2}},"x":[1]}'
    )
    assert (usage.input, usage.output, usage.web_searches, usage.seen) == (3, 4, 2, True)
    assert not usage_of(b"<html>").seen
    assert usage_of(b"<html>").doubtful
