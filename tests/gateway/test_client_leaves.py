"""A client that leaves is noticed at once, and its request is ended or read to its end as the provider's setting says."""

import time

import pytest

from tests.fake_provider import FakeProvider, Gate, Hang, Pause, Repeat, reply, stream
from tests.gateway.bodies import BLOCK, END, START, STOP, STOP_BLOCK, ask, delta, message, usage
from tests.harness import Gateway, send, wait_until

TEXT = "forty characters of text, more or less.."


@pytest.mark.parametrize("reset", [False, True])
def test_cancel_closes_the_upstream_and_estimates(reset: bool, gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(stream(START, BLOCK, delta(TEXT), Hang()))
    with gateway.client() as client:
        send(client, ask(stream=True))
        head = client.head()
        client.until(delta(TEXT))
        client.leave(reset=reset)
    provider.wait_closed(provider.received[-1])
    record = gateway.record(head.value("request-id"))
    assert (record["outcome"], record["estimated"]) == ("client_left", True)
    assert record["tokens"]["input"] == 11
    assert record["tokens"]["output"] == len(TEXT) // 4


def test_leaving_is_noticed_within_a_tenth_of_a_second(gateway: Gateway, provider: FakeProvider) -> None:
    """The best of some tries, for this machine may be busy with other things."""
    delays = []
    for _ in range(5):
        provider.script(stream(START, BLOCK, delta(TEXT), Hang()))
        with gateway.client() as client:
            send(client, ask(stream=True))
            client.head()
            client.until(delta(TEXT))
            left = time.monotonic()
            client.leave()
        delays.append(provider.wait_closed(provider.received[-1]) - left)
    assert min(delays) < 0.1, delays


def test_leaving_before_the_upstream_answers_closes_it(gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(reply(200, b"").after(Hang()))
    with gateway.client() as client:
        send(client, ask(stream=True), headers=[("x-claude-code-session-id", "left-before-the-first-byte")])
        request = provider.wait_received()[-1]
        client.leave()
    provider.wait_closed(request)
    record = gateway.wait_records(1, session_id="left-before-the-first-byte")[0]
    assert (record["outcome"], record["estimated"]) == ("client_left", True)
    assert record["tokens"]["output"] == 0
    assert record["tokens"]["input"] > 0


def test_drain_reads_the_stream_to_its_end_and_counts_exactly(gateway: Gateway, provider: FakeProvider) -> None:
    gate = Gate()
    # The pause lets the gateway notice that the client is gone; nothing outside tells when it has.
    provider.script(stream(START, BLOCK, delta(TEXT), gate, Pause(0.3), delta("more"), STOP_BLOCK, END, STOP))
    with gateway.client() as client:
        send(client, ask(model="claude-drain", stream=True))
        head = client.head()
        client.until(delta(TEXT))
        client.leave()
    gate.open()
    record = gateway.record(head.value("request-id"))
    assert (record["outcome"], record["estimated"]) == ("client_left", False)
    assert (record["tokens"]["input"], record["tokens"]["output"]) == (11, 5)
    assert not provider.received[-1].closed.is_set()


def test_whole_answers_are_always_read_to_their_end(gateway: Gateway, provider: FakeProvider) -> None:
    gate = Gate()
    provider.script(reply(200, message(usage=usage(output_tokens=77))).after(gate, Pause(0.3)))
    with gateway.client() as client:
        send(client, ask(), headers=[("x-claude-code-session-id", "left-a-whole-answer")])
        assert provider.wait_received()
        assert gate.reached.wait(10)
        client.leave()
    gate.open()
    record = gateway.wait_records(1, session_id="left-a-whole-answer")[0]
    assert (record["outcome"], record["estimated"]) == ("client_left", False)
    assert record["tokens"]["output"] == 77


def test_leaving_while_nothing_is_read_is_noticed(gateway: Gateway, provider: FakeProvider) -> None:
    """Even when the gateway is stuck in writing to that client."""
    provider.script(stream(START, BLOCK, Repeat(delta("y" * 4000))))
    with gateway.client(receive_buffer=4096) as client:
        send(client, ask(stream=True))
        request = provider.wait_received()[-1]
        assert request.stalled.wait(10)
        client.leave(reset=True)
    provider.wait_closed(request)


def test_slow_reader_stops_the_reading_upstream(gateway: Gateway, provider: FakeProvider) -> None:
    before = gateway.resident_kib()
    provider.script(stream(START, BLOCK, Repeat(delta("z" * 8000))))
    with gateway.client(receive_buffer=4096) as client:
        send(client, ask(stream=True))
        request = provider.wait_received()[-1]
        assert request.stalled.wait(10)
        # It has come to rest when the number of bytes taken no longer grows.
        seen = -1

        def at_rest() -> bool:
            nonlocal seen
            last, seen = seen, request.sent
            time.sleep(0.1)
            return last == seen and request.stalled.is_set()

        wait_until(at_rest, what="the provider comes to rest")
        assert request.sent < 16 * 1024 * 1024
        assert gateway.resident_kib() - before < 24 * 1024
        # Reading on sets it in motion again.
        client.head()
        taken = 0
        while taken < 2 * seen:
            taken += len(client.piece())
        assert request.sent > seen
        client.leave()
    provider.wait_closed(request)


def test_slow_reader_does_not_slow_others(gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(stream(START, BLOCK, Repeat(delta("z" * 8000))))
    with gateway.client(receive_buffer=4096) as client:
        send(client, ask(stream=True))
        assert provider.wait_received()[-1].stalled.wait(10)
        for _ in range(3):
            assert gateway.post(ask(stream=True)).status == 200
    provider.wait_closed(provider.received[0])
