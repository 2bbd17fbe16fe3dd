"""The nginx example before a running gateway: streams pass piece by piece, bodies whole, nothing is sent twice."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.conftest import Nginx, checked, nginx_or_skip, placed
from tests.fake_provider import Expected, FakeProvider, Gate, reply, stream
from tests.gateway.bodies import BLOCK, END, START, STOP, STOP_BLOCK, ask, assert_error, delta, encoded
from tests.gateway.test_live import closed_with, said, signed_in, watch
from tests.harness import KEYS, Gateway, Template, send, standard_config
from tests.harness.process import free_port
from tests.harness.tls import write_certificate

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(expected=Expected(secrets=set(KEYS.values()))) as provider:
        yield provider


@pytest.fixture(scope="module")
def gateway(template: Template, provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    nginx_or_skip()
    settings = {"GATEWAY_TRUSTED_PROXIES": "127.0.0.1"}
    folder = tmp_path_factory.mktemp("behind")
    with Gateway(template, folder, standard_config(provider.url), environment=settings) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def nginx(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    nginx = Nginx(tmp_path_factory.mktemp("nginx") / "run", [gateway.port])
    yield nginx
    nginx.stop()


@pytest.fixture(autouse=True)
def _fresh(provider: FakeProvider) -> None:
    provider.reset()


def test_the_example_for_a_site_is_sound(tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path)
    site = placed("site.conf", tmp_path)
    for name in ("gateway.pem", "gateway.key"):
        site = site.replace(f"/etc/nginx/tls/{name}", str(certificate))
    for address in ("[::]:443", "[::]:80", "443", "80"):
        site = site.replace(f"listen {address}", f"listen 127.0.0.1:{free_port()}")
    checked(nginx_or_skip(), tmp_path, site)


def test_events_arrive_as_they_are_sent(nginx: Nginx, provider: FakeProvider) -> None:
    gate = Gate()
    provider.script(stream(START, BLOCK, delta("one"), gate, delta("two"), STOP_BLOCK, END, STOP))
    with nginx.client() as client:
        send(client, ask(stream=True))
        assert client.head().status == 200
        assert client.until(delta("one")).endswith(delta("one"))  # while the rest is still held back
        gate.open()
        assert client.rest() == delta("two") + STOP_BLOCK + END + STOP


def test_large_bodies_pass_and_too_large_ones_are_refused_by_the_gateway(nginx: Nginx, gateway: Gateway) -> None:
    with nginx.client(30) as client:
        send(client, ask("x" * (31 * 1024 * 1024)))
        assert client.reply().status == 200
    with nginx.client(30) as client:
        send(client, b" " * (32 * 1024 * 1024 + 1000))
        assert_error(client.reply(), 413, "request_too_large")
    with nginx.client(30) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 40000000\r\n\r\n")
        refused = client.reply()
    assert (refused.status, refused.json["error"]["type"]) == (413, "request_too_large")


def test_the_record_has_the_clients_address_and_not_what_it_claims(nginx: Nginx, gateway: Gateway) -> None:
    with nginx.client() as client:
        send(client, ask(), headers=[("x-forwarded-for", "203.0.113.9")])
        found = client.reply()
    assert found.status == 200
    assert gateway.record(found.value("request-id"))["client_ip"] == "203.0.113.9"  # 127.0.0.1 is a proxy of ours here


def test_figures_are_not_for_the_world(nginx: Nginx) -> None:
    with nginx.client() as client:
        client.request("GET", "/metrics")
        assert client.reply().status == 403
        client.request("GET", "/healthz")
        assert client.reply().status == 200


def test_a_client_that_leaves_ends_its_upstream(nginx: Nginx, provider: FakeProvider) -> None:
    provider.script(stream(START, BLOCK, delta("one"), Gate()))
    with nginx.client() as client:
        send(client, ask(stream=True))
        client.head()
        client.until(delta("one"))
        client.leave()
    provider.wait_closed(provider.received[-1])


def test_connections_to_the_gateway_are_kept(nginx: Nginx, gateway: Gateway) -> None:
    def connections() -> float:
        text = gateway.get("/metrics", key="").body.decode()
        return next(
            float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("gateway_connections")
        )

    for _ in range(20):
        with nginx.client() as client:
            send(client, ask())
            assert client.reply().status == 200
    assert connections() < 10


def test_errors_of_the_gateway_pass_through(nginx: Nginx, provider: FakeProvider) -> None:
    provider.script(reply(529, b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}'))
    with nginx.client() as client:
        send(client, ask())
        answer = client.reply()
    assert (answer.status, answer.json["error"]["message"]) == (529, "busy")


def test_a_request_that_was_sent_is_never_sent_again(
    nginx: Nginx, gateway: Gateway, provider: FakeProvider, template: Template, tmp_path: Path
) -> None:
    """A node dies with the request in its hands: the other node must not get it."""
    with Gateway(template, tmp_path, standard_config(provider.url)) as doomed:
        front = Nginx(tmp_path / "two", [doomed.port, gateway.port])
        try:
            held = Gate()
            provider.on_model("claude-same", reply(200, b"{}").after(held))
            with front.client() as client:
                send(client, ask())
                provider.wait_received(1)
                doomed.kill9()
                answer = client.reply()
            assert (answer.status, answer.json["error"]["type"]) == (502, "api_error")
            assert answer.value("retry-after") == "1"
            assert len(provider.received) == 1
            held.open()
            provider.reset()
            for _ in range(3):  # what was not sent yet goes to the node that is there
                with front.client() as client:
                    send(client, ask())
                    assert client.reply().status == 200
        finally:
            front.stop()
        doomed.start()


def test_a_slow_upload_costs_the_gateway_nothing(nginx: Nginx, gateway: Gateway, provider: FakeProvider) -> None:
    body = encoded(ask("slow"))
    with nginx.client() as client:
        client.send(
            f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEYS['main']}\r\n"
            f"anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        )
        client.send(body[:30])
        text = gateway.get("/metrics", key="").body.decode()
        assert 'gateway_requests_in_flight{worker="0"} 0.0' in text
        time.sleep(0.1)
        client.send(body[30:])
        assert client.reply().status == 200


def test_websockets_of_live_pages_pass(nginx: Nginx, gateway: Gateway) -> None:
    with watch(gateway, signed_in(gateway), port=nginx.port) as page:
        with nginx.client() as client:
            send(client, ask())
            assert client.reply().status == 200
        assert said(page)["count"] == 1
    with watch(gateway, port=nginx.port) as page:
        assert closed_with(page) == 4404
