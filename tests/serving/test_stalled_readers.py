"""Clients that do not read: memory stays bounded, upstreams wait, others are served, on both servers."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest

from tests.fake_provider import Expected, FakeProvider, Received, Repeat, stream
from tests.gateway.bodies import BLOCK, START, ask, delta
from tests.harness import KEYS, Gateway, Template, send, standard_config, wait_until

pytestmark = pytest.mark.server
MIB = 1024 * 1024
KERNEL = 12 * MIB  # what the buffers of two sockets hold for one stream, at most
ITSELF = 4096  # KiB that a process grows by, whatever is not read


@pytest.mark.parametrize(("server", "readers"), [("serve", 100), ("runserver", 10)])
def test_memory_does_not_grow_with_what_is_not_read(
    server: Literal["serve", "runserver"], readers: int, template: Template, tmp_path: Path
) -> None:
    with (
        FakeProvider(expected=Expected(secrets=set(KEYS.values()))) as provider,
        Gateway(template, tmp_path, standard_config(provider.url), server=server) as gateway,
        ExitStack() as stack,
    ):
        assert gateway.post(ask(stream=True)).status == 200
        before = gateway.resident_kib()
        provider.on_model("claude-pattern", stream(START, BLOCK, Repeat(delta("z" * 8000))))
        clients = [stack.enter_context(gateway.client(receive_buffer=4096)) for _ in range(readers)]
        for client in clients:
            send(client, ask(model="claude-pattern-x", stream=True))
        requests = [each for each in provider.wait_received(1 + readers) if b"claude-pattern" in each.body]
        for request in requests:
            assert request.stalled.wait(20), "the gateway goes on reading for a client that does not"
        sent = wait_until(lambda: at_rest(requests), timeout=30, what="all upstreams to come to rest")
        assert sent < readers * KERNEL
        grown = gateway.resident_kib() - before
        assert grown < readers * 1024 + ITSELF, f"{grown} KiB for {readers} stalled readers"
        for _ in range(3):
            assert gateway.post(ask(stream=True)).status == 200
        head = clients[0].head()
        taken = 0
        while taken < 2 * requests[0].sent and taken < 16 * MIB:
            taken += len(clients[0].piece())
        assert head.status == 200
        assert taken >= 1 * MIB, "one that reads again gets what it is owed"
        for client in clients:
            client.leave(reset=True)
        for request in requests:
            provider.wait_closed(request)


def at_rest(requests: list[Received]) -> int:
    """The bytes that upstreams were allowed to send, if a moment brings no more of them; else 0."""
    before = sum(request.sent for request in requests)
    time.sleep(0.2)  # nothing tells that nothing happens
    return before if before == sum(request.sent for request in requests) else 0
