"""What a process does about too many connections, large or slow heads, slow bodies and clients that do not read."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.fake_provider import Expected, FakeProvider, Gate, Pause, Repeat, stream
from tests.gateway.bodies import BLOCK, END, START, STOP, STOP_BLOCK, ask, assert_error, delta, encoded
from tests.harness import KEYS, Gateway, Template, send, standard_config, wait_until

pytestmark = pytest.mark.server
MOST = 12
LIMITS = {
    "GATEWAY_MAX_CONNECTIONS": str(MOST),
    "GATEWAY_MAX_HEAD_BYTES": "4096",
    "GATEWAY_MAX_HEADERS": "40",
    "GATEWAY_HEAD_SECONDS": "1",
    "GATEWAY_BODY_SECONDS": "1",
    "GATEWAY_SEND_SECONDS": "2",
    "GATEWAY_KEEP_ALIVE_SECONDS": "2",
}
HEAD = (
    "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    "anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n"
)


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(expected=Expected(secrets=set(KEYS.values()))) as provider:
        yield provider


@pytest.fixture(scope="module")
def gateway(template: Template, provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = standard_config(provider.url)
    with Gateway(template, tmp_path_factory.mktemp("limits"), config, environment=LIMITS) as gateway:
        yield gateway


def head(path: str = "/v1/messages") -> bytes:
    return HEAD.format(path=path, key=KEYS["main"]).encode()


def figure(gateway: Gateway, name: str) -> float:
    text = gateway.get("/metrics", key="").body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def test_connections_beyond_the_limit_get_a_503_of_their_format(gateway: Gateway) -> None:
    refused = figure(gateway, 'gateway_turned_away_total{reason="connections"')
    with ExitStack() as stack:
        held = [stack.enter_context(gateway.client()) for _ in range(MOST)]
        for client in held:
            send(client, ask())
            assert client.reply().status == 200
        reply = gateway.post(ask("x" * 200_000))
        assert_error(reply, 503, "api_error")
        assert reply.value("retry-after") == "1"
        assert reply.value("connection") == "close"
        other = gateway.post(ask(), "/model/claude-same/invoke")
        assert (other.status, other.value("x-amzn-errortype")) == (503, "ServiceUnavailableException")
        assert gateway.get("/healthz", key="").status == 200, "who looks after the process still gets an answer"
        send(held[0], ask())
        assert held[0].reply().status == 200, "a connection within the limit is served"
        held.pop().leave()
        wait_until(lambda: gateway.post(ask()).status == 200, what="a place to be free again")
        assert figure(gateway, 'gateway_turned_away_total{reason="connections"') >= refused + 2


def test_a_head_of_many_headers_is_refused(gateway: Gateway) -> None:
    with gateway.client() as client:
        send(client, ask(), headers=[(f"x-{number}", "1") for number in range(60)])
        assert_error(client.reply(), 431, "invalid_request_error")
        assert client.at_end()


def test_a_large_head_is_refused_whole_or_in_pieces(gateway: Gateway) -> None:
    with gateway.client() as client:
        send(client, ask(), headers=[("x-large", "a" * 5000)])
        assert client.reply().status == 431
    with gateway.client() as client:
        client.send(head() + b"x-large: ")
        for _ in range(4):
            client.send(b"a" * 1000)
            time.sleep(0.01)  # each piece on its own
        assert client.reply().status == 431
        assert client.at_end()
    with gateway.client() as client:
        send(client, ask("x" * 20_000), headers=[("x-fitting", "a" * 3000)])
        assert client.reply().status == 200, "a body that comes along with its head does not count as one"


def test_a_head_that_is_not_complete_in_time_ends_the_connection(gateway: Gateway) -> None:
    with gateway.client() as silent, gateway.client() as slow, gateway.client() as second:
        begun = time.monotonic()
        slow.send(b"POST /v1/messages HT")
        send(second, ask())
        assert second.reply().status == 200
        second.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n")
        assert slow.reply().status == 408
        assert slow.at_end()
        assert silent.at_end()
        assert second.reply().status == 408
        assert 0.9 < time.monotonic() - begun < 5


def test_a_head_that_trickles_does_not_extend_its_time(gateway: Gateway) -> None:
    with gateway.client() as client:
        begun = time.monotonic()
        for byte in head():
            try:
                client.send(bytes([byte]))
            except OSError:
                break
            time.sleep(0.05)
        assert time.monotonic() - begun < 4


def test_a_body_that_stops_is_answered_408_and_recorded(gateway: Gateway) -> None:
    body = encoded(ask())
    with gateway.client() as client:
        client.send(head() + b"content-length: %d\r\n\r\n" % len(body) + body[:20])
        reply = client.reply()
        assert_error(reply, 408, "timeout_error")
        assert client.at_end()
    record = gateway.record(reply.value("request-id"))
    assert (record["status"], record["outcome"], record["reason"]) == (408, "refused", "slow_body")


def test_a_body_that_never_begins_is_answered_408_in_its_format(gateway: Gateway) -> None:
    with gateway.client() as client:
        client.send(head("/model/claude-same/invoke") + b"content-length: 100\r\n\r\n")
        reply = client.reply()
        assert reply.status == 408
        assert reply.json["message"]


def test_a_slow_body_that_goes_on_is_served(gateway: Gateway) -> None:
    body = encoded(ask("a slow one"))
    with gateway.client() as client:
        client.send(head() + b"content-length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 40):
            client.send(body[start : start + 40])
            time.sleep(0.4)  # each silence is shorter than the limit, all of them together are longer
        assert client.reply().status == 200


def test_a_page_whose_form_never_comes_loses_its_connection(gateway: Gateway) -> None:
    with gateway.client(timeout=15) as client:
        client.send(b"POST /accounts/login/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nabc")
        assert client.at_end()


def test_an_idle_connection_is_closed(gateway: Gateway) -> None:
    with gateway.client() as client:
        send(client, ask())
        assert client.reply().status == 200
        begun = time.monotonic()
        assert client.at_end()
        assert 1.5 < time.monotonic() - begun < 6


def test_a_reader_that_takes_nothing_is_cut_off_and_its_upstream_too(gateway: Gateway, provider: FakeProvider) -> None:
    provider.on_model("claude-pattern", stream(START, BLOCK, Repeat(delta("x" * 4000))))
    with gateway.client(receive_buffer=4096) as client:
        send(client, ask(model="claude-pattern-stalled", stream=True))
        request_id = client.head().value("request-id")
        request = next(each for each in reversed(provider.received) if b"claude-pattern" in each.body)
        provider.wait_closed(request, timeout=15)
    record = gateway.record(request_id, timeout=5)
    assert (record["outcome"], record["estimated"]) == ("client_left", True)


def test_a_silent_upstream_is_no_fault_of_the_reader(gateway: Gateway, provider: FakeProvider) -> None:
    silence = Pause(2.5)  # of the upstream, longer than every limit
    provider.on_model(
        "claude-pattern", stream(START, BLOCK, delta("one"), silence, delta("two"), STOP_BLOCK, END, STOP)
    )
    with gateway.client() as client:
        send(client, ask(model="claude-pattern-quiet", stream=True))
        assert client.head().status == 200
        assert client.rest().endswith(STOP)


def test_a_request_sent_ahead_waits_for_its_turn(gateway: Gateway, provider: FakeProvider) -> None:
    gate = Gate()
    provider.on_model("claude-pattern", stream(START, BLOCK, delta("one"), gate, delta("two")))
    with gateway.client() as client:
        send(client, ask(model="claude-pattern-ahead", stream=True))
        assert client.head().status == 200
        client.until(delta("one"))
        client.send(head()[:40])  # half of the next head, while the answer is under way
        with gateway.client() as other:
            assert other.at_end(), "a silent connection ends in the time that a head has"
        gate.open()
        assert delta("two") in client.rest()


def test_unusable_limits_stop_the_start_with_one_line(template: Template) -> None:
    from tests.harness.process import run_manage

    for name, value in (("GATEWAY_MAX_CONNECTIONS", "0"), ("GATEWAY_METRICS_ALLOW", "10.0.0.0/33")):
        with pytest.raises(AssertionError, match=name):
            run_manage(template.folder, "check", extra={name: value})


def test_the_rest_of_a_body_that_nobody_reads_does_not_hold_a_connection_for_ever(gateway: Gateway) -> None:
    with gateway.client() as client:
        client.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n")
        assert client.reply().status == 200
        client.send(b"abc")
        began = time.monotonic()
        assert client.at_end()
        assert time.monotonic() - began < 10
