"""A request that is over leaves memory at once. In a circle of objects it would wait for a full collection, which comes after
minutes: with a thousand streams that was a hundred and forty megabytes."""

import os
import signal
from pathlib import Path

from tests.fake_provider import FakeProvider, Gate, reply, stream
from tests.gateway.bodies import BLOCK, END, START, STOP, STOP_BLOCK, WHOLE, ask, delta, encoded, message
from tests.gateway.conftest import OwnGateway
from tests.harness import Gateway, send, wait_until

PROBE = Path(__file__).parent / "probe"


def _exchanges(gateway: Gateway, file: Path) -> int:
    file.unlink(missing_ok=True)
    assert gateway.process is not None
    os.kill(gateway.process.pid, signal.SIGUSR1)
    wait_until(lambda: file.exists() and file.read_text(), what="the probe's answer")
    return int(file.read_text())


def test_requests_that_are_over_are_not_kept(own_gateway: OwnGateway, tmp_path: Path) -> None:
    file = tmp_path / "probe.txt"
    environment = {"PYTHONPATH": str(PROBE), "PROBE_FILE": str(file)}
    with own_gateway(environment=environment) as (gateway, provider):
        for ending in (_whole, _streamed, _refused, _left):
            for _ in range(5):
                ending(gateway, provider)
        gateway.wait_records(20)
        assert _exchanges(gateway, file) <= 1  # the last one may still be on its way out


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
