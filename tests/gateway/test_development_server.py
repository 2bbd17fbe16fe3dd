"""`manage.py runserver` serves the same path as the production server."""

from tests.fake_provider import FakeProvider, Gate, stream
from tests.gateway.bodies import BLOCK, END, START, STOP, STOP_BLOCK, ask, assert_error, delta
from tests.gateway.conftest import OwnGateway
from tests.harness import KEYS, Gateway, send


def test_development_server_serves_the_gateway(own_gateway: OwnGateway) -> None:
    with own_gateway(server="runserver") as (gateway, provider):
        _calls(gateway)
        _stream(gateway, provider)
        _refusals(gateway)
        _leaving(gateway, provider)


def _calls(gateway: Gateway) -> None:
    reply = gateway.post(ask(model="claude-alias"))
    assert reply.status == 200
    record = gateway.record(reply.value("request-id"))
    assert (record["outcome"], record["upstream_model"]) == ("served", "claude-upstream-20260101")
    assert gateway.get("/v1/models", key=KEYS["narrow"]).json["data"][0]["id"] == "claude-same"
    assert gateway.get("/", key="", method="HEAD").status == 200
    assert gateway.post(ask(), "/anthropic//v1/messages").status == 200


def _stream(gateway: Gateway, provider: FakeProvider) -> None:
    gate = Gate()
    provider.script(stream(START, BLOCK, delta("one"), gate, delta("two"), STOP_BLOCK, END, STOP))
    with gateway.client() as client:
        send(client, ask(stream=True))
        request_id = client.head().value("request-id")
        assert client.until(delta("one")) == START + BLOCK + delta("one")
        gate.open()
        assert client.rest() == delta("two") + STOP_BLOCK + END + STOP
    assert gateway.record(request_id)["tokens"]["output"] == 5


def _refusals(gateway: Gateway) -> None:
    assert_error(gateway.post(ask(), key="wrong"), 401, "authentication_error")
    assert_error(gateway.post(b"["), 400, "invalid_request_error")
    assert_error(gateway.post(ask(model="claude-sane")), 404, "not_found_error")
    assert_error(gateway.get("/v1/messages"), 405, "invalid_request_error")
    assert_error(gateway.post(b" " * (33 * 1024 * 1024)), 413, "request_too_large")


def _leaving(gateway: Gateway, provider: FakeProvider) -> None:
    gate = Gate()
    provider.script(stream(START, BLOCK, delta("one"), gate, STOP))
    with gateway.client() as client:
        send(client, ask(stream=True))
        request_id = client.head().value("request-id")
        client.until(delta("one"))
        client.leave()
    provider.wait_closed(provider.received[-1])
    assert gateway.record(request_id)["outcome"] == "client_left"
