"""A request that is over leaves memory at once, and a connection that is closed. In a circle of objects a request would wait for
a full collection, which comes after minutes: with a thousand streams that was a hundred and forty megabytes. A timer that nobody
stopped kept connections that were reset for 75 seconds."""

import os
import signal
from pathlib import Path

from tests.fake_provider import FakeProvider, Gate, reply, stream
from tests.gateway.bodies import BLOCK, END, START, STOP, STOP_BLOCK, WHOLE, ask, delta, encoded, message
from tests.gateway.conftest import OwnGateway
from tests.harness import Gateway, send, wait_until

PROBE = Path(__file__).parent / "probe"


def _in_memory(gateway: Gateway, file: Path) -> tuple[int, int]:
    """Exchanges and client connections."""
    file.unlink(missing_ok=True)
    assert gateway.process is not None
    os.kill(gateway.process.pid, signal.SIGUSR1)
    wait_until(lambda: file.exists() and file.read_text(), what="the probe's answer")
    exchanges, connections = map(int, file.read_text().split())
    return exchanges, connections


def test_requests_that_are_over_are_not_kept(own_gateway: OwnGateway, tmp_path: Path) -> None:
    file = tmp_path / "probe.txt"
    environment = {"PYTHONPATH": str(PROBE), "PROBE_FILE": str(file)}
    with own_gateway(environment=environment) as (gateway, provider):
        for ending in (_whole, _streamed, _refused, _left, _reset):
            for _ in range(5):
                ending(gateway, provider)
        gateway.wait_records(25)
        exchanges, connections = _in_memory(gateway, file)
        assert exchanges <= 1  # the last one may still be on its way out
        assert connections <= 2, "twenty-five were opened, one for each request"


def _whole(gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(reply(200, encoded(message())))
    assert gateway.post(ask()).status == 200


def _streamed(gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(stream(*WHOLE))
    assert gateway.post(ask(stream=True)).status == 200


def _refused(gateway: Gateway, provider: FakeProvider) -> None:
    assert gateway.post(ask(model="nobody-has-this")).status == 404


def _left(gateway: Gateway, provider: FakeProvider) -> None:
    gate = Gate()
    provider.script(stream(START, BLOCK, delta("so far"), gate, STOP_BLOCK, END, STOP))
    with gateway.client() as client:
        send(client, ask(stream=True))
        client.head()
        client.until(delta("so far"))
    gate.open()


def _reset(gateway: Gateway, provider: FakeProvider) -> None:
    """The client has its answer, and drops the connection instead of closing it."""
    provider.script(reply(200, encoded(message())))
    client = gateway.client()
    send(client, ask())
    assert client.reply().status == 200
    client.leave(reset=True)
