"""Orders of the console reach every running process within a second, and what processes say reaches the console."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.fake_provider import FakeProvider, error, reply
from tests.gateway.bodies import ask
from tests.gateway.conftest import make_provider
from tests.harness import Config, Gateway, Template, postgres_database, route, standard_config, target, wait_until
from tests.serving.conftest import REDIS
from tests.serving.test_serve import redis_or_skip

MAIN = "anthropic-main"
ORDER = """
from django.utils import timezone
from accounting.audit.changes import Actor, changing
from routing import controls
from routing.models import Provider
with changing(Actor("ada@example.org", "user")) as change:
    provider = Provider.objects.get(name="anthropic-main")
    {}
"""
DOWN = reply(500, error("api_error", "down since noon"))


def configured(url: str) -> Config:
    config = standard_config(url)
    settings = {"breaker": {"failures": 2, "window": 30}, "cooldown": 60}
    config.routes[0] = route("same", target(MAIN, "m1"), target(MAIN, "m2"), **settings)
    return config


def give(gateway: Gateway, call: str) -> None:
    gateway.manage("shell", "-c", ORDER.format(call))


@contextmanager
def two_processes(template: Template, folder: Path, database: str) -> Iterator[tuple[list[Gateway], FakeProvider]]:
    """Two servers with one database and one Redis."""
    redis_or_skip()
    with ExitStack() as stack:
        settings = {"REDIS_URL": REDIS}
        if database == "postgres":
            settings["DATABASE_URL"] = stack.enter_context(postgres_database())
        provider = stack.enter_context(make_provider())
        config = configured(provider.url)
        first = stack.enter_context(Gateway(template, folder / "one", config, environment=settings))
        second = Gateway(template, folder / "two", config)
        second.data, second.extra, second.token = first.data, settings, first.token
        second.start()
        stack.callback(second.stop)
        yield [first, second], provider


def who(gateway: Gateway) -> str:
    return str(gateway.post(ask()).json["model"])


def within_a_second(found: Callable[[], bool]) -> None:
    wait_until(found, timeout=1)


@pytest.mark.redis
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_breakers_and_orders_reach_every_process(database: str, template: Template, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with two_processes(template, tmp_path, database) as ((one, two), provider):
        assert {who(one), who(two)} == {"m1"}
        provider.on_model("m1", DOWN)
        assert [who(one) for _ in range(3)] == ["m2"] * 3
        calls = sum(request.json["model"] == "m1" for request in provider.received)
        status = one.manage("shell", "-c", SAID)
        assert "open" in status
        assert "500 down since noon" in status
        assert who(two) == "m2"
        assert sum(request.json["model"] == "m1" for request in provider.received) == calls

        provider.on_model("m1", reply(200, {"model": "m1"}))
        give(one, 'controls.reopen(change, provider, "m1", timezone.now())')
        for gateway in (one, two):
            within_a_second(lambda gateway=gateway: who(gateway) == "m1")  # type: ignore[misc]
        give(one, 'controls.drain(change, provider, "m1")')
        for gateway in (one, two):
            within_a_second(lambda gateway=gateway: who(gateway) == "m2")  # type: ignore[misc]
        give(two, 'controls.rest(change, provider, "m2", 5, timezone.now())')
        for gateway in (one, two):
            within_a_second(lambda gateway=gateway: gateway.post(ask()).status == 529)  # type: ignore[misc]
        assert one.post(ask()).value("retry-after") == "30"
        give(one, 'controls.undo(change, provider, "m1"), controls.undo(change, provider, "m2")')
        for gateway in (one, two):
            within_a_second(lambda gateway=gateway: who(gateway) == "m1")  # type: ignore[misc]


SAID = """
import time
from datetime import UTC, datetime
from routing.target_status import read_targets
for _ in range(60):
    found = [each for each in read_targets(datetime.now(UTC)) if each.model == "m1" and each.reporting == 2]
    if found and len(found[0].processes) == 2 and found[0].state == "open":
        break
    time.sleep(0.05)
print(found[0].state, found[0].words)
"""
