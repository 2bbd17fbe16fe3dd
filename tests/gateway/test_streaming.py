"""A stream is passed on as it comes: nothing waits for what follows it."""

import pytest

from tests.fake_provider import Die, FakeProvider, Gate, Hang, Pause, raw, reply, sse, stream
from tests.gateway.bodies import BLOCK, END, START, STOP, STOP_BLOCK, WHOLE, ask, assert_error, delta
from tests.harness import Gateway, send


def test_every_piece_arrives_before_the_next_is_sent(gateway: Gateway, provider: FakeProvider) -> None:
    pieces = [START, BLOCK, delta("one "), delta("two "), STOP_BLOCK, END, STOP]
    gates = [Gate() for _ in pieces]
    provider.script(stream(*[part for pair in zip(pieces, gates, strict=True) for part in pair]))
    with gateway.client() as client:
        send(client, ask(stream=True))
        assert client.head().status == 200
        for piece, gate in zip(pieces, gates, strict=True):
            assert client.until(b"\n\n") == piece
            gate.open()
        assert client.rest() == b""


def test_head_arrives_before_the_first_event(gateway: Gateway, provider: FakeProvider) -> None:
    gate = Gate()
    provider.script(stream(gate, *WHOLE))
    with gateway.client() as client:
        send(client, ask(stream=True))
        assert client.head().status == 200
        gate.open()
        assert client.rest() == b"".join(WHOLE)


def test_half_an_event_is_passed_on(gateway: Gateway, provider: FakeProvider) -> None:
    gate = Gate()
    whole = delta("cut in the middle")
    provider.script(stream(START, whole[:40], gate, whole[40:], END, STOP))
    with gateway.client() as client:
        send(client, ask(stream=True))
        client.head()
        seen = client.until(whole[:40])
        assert seen == START + whole[:40]
        gate.open()
        assert client.rest() == whole[40:] + END + STOP


# Pings


def test_silence_is_filled_with_pings_between_events(gateway: Gateway, provider: FakeProvider) -> None:
    gate = Gate()
    provider.script(stream(START, BLOCK, gate, delta("x"), STOP_BLOCK, END, STOP))
    with gateway.client() as client:
        send(client, ask(stream=True))
        client.head()
        seen = client.until(b"event: ping\n")
        gate.open()
        seen += client.rest()
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    assert seen.replace(ping, b"") == START + BLOCK + delta("x") + STOP_BLOCK + END + STOP
    assert seen.startswith(START + BLOCK + ping)


def test_no_ping_breaks_an_event(gateway: Gateway, provider: FakeProvider) -> None:
    """Silence in the middle of an event is left silent; the next boundary is the first place for a ping."""
    half, boundary = Gate(), Gate()
    whole = delta("in two halves")
    provider.script(stream(START, whole[:30], half, whole[30:], boundary, END, STOP))
    with gateway.client(timeout=2.5) as client:
        send(client, ask(stream=True))
        client.head()
        assert client.until(whole[:30]) == START + whole[:30]
        with pytest.raises(TimeoutError):
            client.piece()
        half.open()
        seen = client.until(b"event: ping\n")
        boundary.open()
        seen += client.rest()
    assert seen.startswith(whole[30:] + b"event: ping\n")


def test_no_ping_before_the_first_event(gateway: Gateway, provider: FakeProvider) -> None:
    gate = Gate()
    provider.script(stream(gate, *WHOLE))
    with gateway.client(timeout=2.5) as client:
        send(client, ask(stream=True))
        client.head()
        try:
            early = client.piece()
        except TimeoutError:
            early = b""
        gate.open()
        seen = early + client.rest()
    # A ping may come before message_start ("may appear anywhere"), but nothing else may.
    assert seen.replace(b'event: ping\ndata: {"type": "ping"}\n\n', b"") == b"".join(WHOLE)


def test_answers_that_are_no_streams_get_no_pings(gateway: Gateway, provider: FakeProvider) -> None:
    """Even one that takes longer than the time between two pings."""
    provider.script(stream(b'{"id":', Pause(1.3), b'"m"}', content_type="application/json"))
    assert gateway.post(ask()).body == b'{"id":"m"}'


# Ends that are none


def error_of(seen: bytes) -> str:
    """The last event, which must be an error event."""
    last = seen.split(b"\n\n")[-2]
    assert last.startswith(b"event: error\ndata: "), last
    return last.decode()


@pytest.mark.parametrize("how", ["reset", "fin"])
@pytest.mark.parametrize("where", ["between", "inside"])
def test_death_in_mid_stream_ends_in_an_error_event(
    how: str, where: str, gateway: Gateway, provider: FakeProvider
) -> None:
    cut = delta("never to be finished")[: 60 if where == "inside" else 0]
    gate = Gate()
    provider.script(stream(START, BLOCK, delta("so far"), cut, gate, Die("reset" if how == "reset" else "fin")))
    with gateway.client() as client:
        send(client, ask(stream=True))
        head = client.head()
        seen = client.until(delta("so far") + cut)
        gate.open()
        seen += client.rest()
    assert seen.startswith(START + BLOCK + delta("so far") + cut)
    assert '"type":"error"' in error_of(seen)
    record = gateway.record(head.value("request-id"))
    assert (record["outcome"], record["status"]) == ("upstream_error", 200)
    assert record["tokens"]["input"] == 11
    assert record["estimated"] is True
    assert record["error"]["type"]


def test_stream_that_ends_without_its_end_is_an_upstream_error(gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(stream(START, BLOCK, delta("x"), framing="close"))
    reply_ = gateway.post(ask(stream=True))
    error_of(reply_.body)
    assert gateway.record(reply_.value("request-id"))["outcome"] == "upstream_error"


def test_error_event_of_the_upstream_is_passed_on_and_recorded(gateway: Gateway, provider: FakeProvider) -> None:
    failure = sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    provider.script(stream(START, BLOCK, failure))
    answer = gateway.post(ask(stream=True))
    assert answer.body == START + BLOCK + failure
    record = gateway.record(answer.value("request-id"))
    assert (record["outcome"], record["status"]) == ("upstream_error", 200)
    assert record["error"] == {"type": "overloaded_error", "message": "Overloaded"}


def test_silence_in_mid_stream_ends_after_the_idle_timeout(gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(stream(START, BLOCK, Hang()))
    answer = gateway.post(ask(model="claude-hasty", stream=True))
    assert answer.body.startswith(START + BLOCK)
    error_of(answer.body)
    provider.wait_closed(provider.received[-1])
    record = gateway.record(answer.value("request-id"))
    assert record["outcome"] == "upstream_error"
    assert "timeout" in f"{record['reason']} {record['error']} {record['attempts']}"


@pytest.mark.parametrize("streamed", [False, True])
def test_silence_before_the_first_byte_is_a_timeout(streamed: bool, gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(reply(200, b"").after(Hang()))
    answer = gateway.post(ask(model="claude-hasty", stream=streamed))
    assert_error(answer, 504, "timeout_error")
    provider.wait_closed(provider.received[-1])
    record = gateway.record(answer.value("request-id"))
    assert record["outcome"] == "upstream_error"
    assert record["attempts"][0]["status"] == 0


@pytest.mark.parametrize("how", ["reset", "fin"])
def test_death_in_a_whole_body_cuts_the_clients_answer_too(how: str, gateway: Gateway, provider: FakeProvider) -> None:
    """Half a JSON body must not look whole to the client."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    provider.script(raw(head + b'{"id":"m", "usage":{"input_tokens":1}', Die("reset" if how == "reset" else "fin")))
    with gateway.client() as client:
        send(client, ask())
        answer = client.head()
        if answer.status == 200:
            with pytest.raises((EOFError, OSError)):
                client.rest()
        else:
            assert answer.status >= 500
    record = gateway.record(answer.value("request-id"))
    assert record["outcome"] == "upstream_error"


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-type: appl"])
@pytest.mark.parametrize("how", ["reset", "fin"])
def test_death_before_or_in_the_head_is_an_upstream_error(
    sent: bytes, how: str, gateway: Gateway, provider: FakeProvider
) -> None:
    steps = [sent] if sent else []
    # A connection that dies without a byte may have been an idle one; the gateway may ask once more on a new one.
    provider.on_model("claude-same", raw(*steps, Die("reset" if how == "reset" else "fin")))
    answer = gateway.post(ask())
    assert answer.status in (500, 502, 503, 529)
    assert_error(answer, answer.status, answer.json["error"]["type"])
    assert gateway.record(answer.value("request-id"))["outcome"] == "upstream_error"
