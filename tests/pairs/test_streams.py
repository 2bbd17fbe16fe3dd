"""Streams across formats on the running gateway: at once, whole however they are cut; silence, and clients that leave."""

import base64
import time

import pytest

from routing.formats.base import BEDROCK, VERTEX
from tests.fake_provider import Gate, Hang, Pause
from tests.fake_provider.bedrock import frames_of, of_frames
from tests.formats.golden import FORMATS, PAIRS, golden
from tests.harness import Client, Gateway
from tests.harness.formats import name_for
from tests.pairs.clients import stream_bytes
from tests.pairs.conftest import Upstreams
from tests.pairs.reading import (
    SSE_START,
    START,
    TEXT,
    answer_to,
    assert_failed,
    begin,
    read,
    read_so_far,
    sent_as,
    wanted,
)

EACH_PAIR = pytest.mark.parametrize(("client", "upstream"), PAIRS)
EACH_CLIENT = pytest.mark.parametrize("client", FORMATS)


@EACH_PAIR
def test_every_event_arrives_before_the_next_is_sent(
    client: str, upstream: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    pieces = stream_bytes(upstream, TEXT.events)
    gates = [Gate() for _ in pieces]
    steps = [part for pair in zip(pieces, gates, strict=True) for part in pair]
    upstreams[upstream].script(sent_as(upstream, *steps))
    seen = b""
    with gateway.client() as connection:
        begin(connection, client, name_for(client, upstream))
        for gate in gates:
            seen += connection.piece()
            gate.open()
        seen += connection.rest()
    assert read(client, seen) == wanted()


@EACH_PAIR
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_however_the_upstreams_bytes_are_cut(
    client: str, upstream: str, size: int, gateway: Gateway, upstreams: Upstreams
) -> None:
    data = b"".join(stream_bytes(upstream, TEXT.events))
    upstreams[upstream].script(sent_as(upstream, *(data[at : at + size] for at in range(0, len(data), size))))
    found, record = answer_to(gateway, client, name_for(client, upstream))
    assert found == wanted()
    assert (record["outcome"], record["tokens"]["input"], record["tokens"]["output"]) == ("served", 25, 15)


@EACH_CLIENT
def test_a_frame_larger_than_any_chunk(client: str, gateway: Gateway, upstreams: Upstreams) -> None:
    text = "long " * 200_000
    events = [dict(event) for event in TEXT.events if event["type"] != "ping"]
    events[2] = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    data = b"".join(frames_of(events))
    upstreams[BEDROCK].script(of_frames(*(data[at : at + 8000] for at in range(0, len(data), 8000))))
    found, record = answer_to(gateway, client, name_for(client, BEDROCK))
    assert found[2][1]["delta"]["text"] == text
    assert record["outcome"] == "served"


@EACH_PAIR
def test_tokens_of_every_kind_are_counted(client: str, upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    cached = golden("cache-control")
    upstreams[upstream].script(sent_as(upstream, *stream_bytes(upstream, cached.events)))
    _, record = answer_to(gateway, client, name_for(client, upstream))
    usage = cached.message["usage"]
    written = usage.get("cache_creation") or {}
    assert record["tokens"] == {
        "input": usage["input_tokens"],
        "output": usage["output_tokens"],
        "cache_read": usage["cache_read_input_tokens"],
        "cache_write_5m": written["ephemeral_5m_input_tokens"],
        "cache_write_1h": written["ephemeral_1h_input_tokens"],
    }
    assert record["stream"]
    assert not record["estimated"]


# Silence


def ping_in(client: str) -> bytes:
    return base64.b64encode(b'{"type":"ping"}') if client == BEDROCK else b"event: ping\n"


def test_silence_is_filled_with_pings_in_every_format(gateway: Gateway, upstreams: Upstreams) -> None:
    asked: list[tuple[str, Gate, Client]] = []
    for client, upstream in PAIRS:  # side by side: a ping comes after a second
        gate = Gate()
        pieces = stream_bytes(upstream, [event for event in TEXT.events if event["type"] != "ping"])
        upstreams[upstream].script(sent_as(upstream, *pieces[:-2], gate, *pieces[-2:]))
        connection = gateway.client()
        begin(connection, client, name_for(client, upstream))
        asked.append((client, gate, connection))
    for client, gate, connection in asked:
        seen = connection.until(ping_in(client))
        gate.open()
        assert read(client, seen + connection.rest()) == wanted()
        connection.leave()


@EACH_PAIR
def test_silence_for_too_long_ends_the_stream(
    client: str, upstream: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    start = START if upstream == BEDROCK else SSE_START
    upstreams[upstream].script(sent_as(upstream, *start, Hang()))
    found, record = answer_to(gateway, client, f"claude-hasty-{upstream}")
    assert_failed(client, found, record, "timeout_error")
    upstreams[upstream].wait_closed(upstreams[upstream].received[-1])


# Clients that leave


@EACH_CLIENT
@pytest.mark.parametrize("upstream", [BEDROCK, VERTEX])
def test_upstream_is_closed_within_a_tenth_of_a_second(
    client: str, upstream: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    """The best of some tries, for this machine may be busy with other things."""
    start = START if upstream == BEDROCK else SSE_START
    delays, provider = [], upstreams[upstream]
    for _ in range(5):
        provider.script(sent_as(upstream, *start, Hang()))
        with gateway.client() as connection:
            head = begin(connection, client, name_for(client, upstream))
            seen = b""
            while len(read_so_far(client, seen)) < 3:
                seen += connection.piece()
            left = time.monotonic()
            connection.leave()
        delays.append(provider.wait_closed(provider.received[-1]) - left)
    assert min(delays) < 0.1, delays
    record = gateway.record(head.value("request-id"))
    assert (record["outcome"], record["estimated"]) == ("client_left", True)
    assert record["tokens"]["input"] == 25


@EACH_PAIR
def test_drain_reads_on_and_counts_exactly(client: str, upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    gate = Gate()
    pieces = stream_bytes(upstream, TEXT.events)
    # The pause lets the gateway notice that the client is gone; nothing outside tells when it has.
    upstreams[upstream].script(sent_as(upstream, *pieces[:4], gate, Pause(0.3), *pieces[4:]))
    with gateway.client() as connection:
        head = begin(connection, client, f"claude-drained-{upstream}")
        connection.piece()
        connection.leave()
    gate.open()
    record = gateway.record(head.value("request-id"))
    assert (record["outcome"], record["reason"], record["estimated"]) == ("client_left", "drained", False)
    assert (record["tokens"]["input"], record["tokens"]["output"]) == (25, 15)
