"""A change of configuration is served within a second, and no request fails because of it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.gateway.bodies import ask
from tests.gateway.conftest import OwnGateway
from tests.harness import KEYS, Config, Gateway, Reply, alias, route, target, wait_until


@contextmanager
def light_load(gateway: Gateway, model: str) -> Iterator[list[Reply]]:
    """Requests one after the other, as long as the block lasts."""
    replies: list[Reply] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            replies.append(gateway.post(ask(model=model)))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield replies
    finally:
        stop.set()
        thread.join(30)


def change(gateway: Gateway, config: Config) -> float:
    """Applies a configuration; returns the time until which it must be served."""
    gateway.import_config(config)
    return time.monotonic() + 1.0


def test_changes_are_served_within_a_second(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, provider):
        with light_load(gateway, "claude-alias") as replies:
            # An alias moves to another route.
            moved = Config(
                routes=[route("moved", target("anthropic-main", "claude-elsewhere"))],
                aliases=[alias("claude-alias", "moved"), alias("claude-added", "moved")],
            )
            until = change(gateway, moved)
            wait_until(
                lambda: provider.received[-1].json["model"] == "claude-elsewhere", timeout=until - time.monotonic()
            )
            assert gateway.post(ask(model="claude-added")).status == 200
            # A key is revoked.
            assert gateway.post(ask(), key=KEYS["beta"]).status == 200
            gateway.manage("revoke_key", KEYS["beta"])
            until = time.monotonic() + 1.0
            wait_until(lambda: gateway.post(ask(), key=KEYS["beta"]).status == 401, timeout=until - time.monotonic())
            # Another is made.
            secret = gateway.manage("create_key", "--team", "alpha", "--project", "two", "--name", "new").strip()
            until = time.monotonic() + 1.0
            wait_until(lambda: gateway.post(ask(), key=secret).status == 200, timeout=until - time.monotonic())
        assert replies
        assert {reply.status for reply in replies} == {200}
        refused = gateway.records(team="beta", outcome="refused")
        assert refused
        assert {record["reason"] for record in refused} == {"revoked"}


def test_wrong_configuration_changes_nothing(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, provider):
        wrong = Config(
            routes=[route("broken", target("no-such-provider", "x"))], aliases=[alias("claude-same", "broken")]
        )
        try:
            gateway.import_config(wrong)
        except AssertionError as error:
            said = str(error)
        else:
            raise AssertionError("a dangling reference was taken")
        assert "routes[0].targets[0].provider" in said
        assert "Traceback" not in said
        assert gateway.post(ask()).status == 200
        assert provider.received[-1].json["model"] == "claude-same"
