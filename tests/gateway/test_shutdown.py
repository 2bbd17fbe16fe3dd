"""SIGTERM: running streams finish, new requests are told to come again, then the process ends in peace."""

from tests.fake_provider import Gate, Hang, stream
from tests.gateway.bodies import BLOCK, END, START, STOP, STOP_BLOCK, ask, assert_error, delta
from tests.gateway.conftest import OwnGateway
from tests.harness import Gateway, Reply, send, wait_until


def refusal(gateway: Gateway) -> Reply | None:
    """A new request's answer, once it is no longer served."""
    reply = gateway.post(ask())
    return reply if reply.status != 200 else None


def test_running_stream_finishes_and_new_requests_are_refused(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, provider):
        gate = Gate()
        provider.on_model(
            "claude-drain", stream(START, BLOCK, delta("before"), gate, delta("after"), STOP_BLOCK, END, STOP)
        )
        with gateway.client() as running, gateway.client() as open_connection:
            send(running, ask(model="claude-drain", stream=True))
            request_id = running.head().value("request-id")
            running.until(delta("before"))
            send(open_connection, ask())
            assert open_connection.reply().status == 200
            gateway.terminate()
            refused = wait_until(lambda: refusal(gateway), what="a refusal")
            assert refused is not None
            assert_error(refused, 503, "api_error")
            assert refused.value("retry-after") == "1"
            # The same on a connection that was open before.
            send(open_connection, ask())
            assert open_connection.reply().status == 503
            gate.open()
            assert running.rest() == delta("after") + STOP_BLOCK + END + STOP
        assert gateway.wait() == 0
        gateway.start()
        assert gateway.record(request_id)["outcome"] == "served"
        assert gateway.record(refused.value("request-id"))["status"] == 503


def test_stream_that_does_not_finish_in_time_is_told_so(own_gateway: OwnGateway) -> None:
    with own_gateway(environment={"GATEWAY_DRAIN_SECONDS": "1"}) as (gateway, provider):
        provider.on_model("claude-same", stream(START, BLOCK, delta("before"), Hang()))
        with gateway.client() as client:
            send(client, ask(stream=True))
            request_id = client.head().value("request-id")
            client.until(delta("before"))
            gateway.terminate()
            assert b"event: error\n" in client.rest()
        assert gateway.wait() == 0
        gateway.start()
        record = gateway.record(request_id)
        assert (record["outcome"], record["estimated"]) == ("shut_down", True)
        assert record["tokens"]["input"] == 11


def test_idle_server_ends_at_once_and_starts_again(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, _), gateway.client() as idle:
        send(idle, ask())
        assert idle.reply().status == 200
        gateway.terminate()
        assert gateway.wait(5) == 0
        gateway.start()
        assert gateway.post(ask()).status == 200
        assert len(gateway.wait_records(2)) == 2
