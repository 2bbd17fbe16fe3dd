"""Limits of a server with several workers: counted once for all of them, in Redis, and with a rule for when it is away."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from tests.fake_provider import Expected, FakeProvider, Pause, reply
from tests.gateway.bodies import ask, assert_error, message
from tests.gateway.test_limits import COST, at_once, budgets, daily, limited
from tests.harness import KEYS, Cable, Gateway, Template, wait_until
from tests.serving.conftest import REDIS
from tests.serving.test_serve import redis_or_skip

pytestmark = [pytest.mark.server, pytest.mark.redis]


@contextmanager
def four_workers(template: Template, folder: Path, redis: str, **limits: Any) -> Iterator[tuple[Gateway, FakeProvider]]:
    settings, arguments = {"REDIS_URL": redis}, ("--workers", "4")
    with FakeProvider(expected=Expected(secrets=set(KEYS.values()))) as provider:
        provider.on_model("claude-same", reply(200, message()).after(Pause(0.02)))
        with Gateway(
            template, folder, limited(provider.url, **limits), environment=settings, arguments=arguments
        ) as gateway:
            wait_until(lambda: '"workers": 4' in gateway.errors.read_text(), timeout=60, what="all workers")
            yield gateway, provider


def test_300_requests_at_once_against_a_budget_for_40(template: Template, tmp_path: Path) -> None:
    redis_or_skip()
    with four_workers(template, tmp_path, REDIS, main=daily(str(COST * 40))) as (gateway, _):
        replies = at_once(gateway, 300)
        assert {each.status for each in replies} == {200, 429}
        assert sum(each.status == 200 for each in replies) == 40
        (budget,) = budgets(gateway)
        assert (Decimal(budget["spent"]), budget["reserved"]) == (COST * 40, "0")


def test_a_rate_limit_is_not_multiplied_by_the_workers(template: Template, tmp_path: Path) -> None:
    redis_or_skip()
    with four_workers(template, tmp_path, REDIS, main={"rate_limits": [{"requests_per_minute": 50}]}) as (gateway, _):
        replies = at_once(gateway, 120)
        assert sum(each.status == 200 for each in replies) == 50


def test_redis_goes_away_and_comes_back(template: Template, tmp_path: Path) -> None:
    redis_or_skip()
    address = urlparse(REDIS)
    with Cable(address.port or 6379, address.hostname or "127.0.0.1") as cable:
        url = f"redis://127.0.0.1:{cable.port}{address.path}"
        with four_workers(template, tmp_path, url, main=daily("1")) as (gateway, _):
            assert gateway.post(ask()).status == 200
            cable.cut()
            for _number in range(8):
                refused = gateway.post(ask())
                assert_error(refused, 503, "api_error")
                assert int(refused.value("retry-after")) > 0
            assert gateway.record(refused.value("request-id"))["reason"] == "counters_lost"
            assert gateway.post(ask(), key=KEYS["beta"]).status == 200  # without limits there is nothing to count
            cable.mend()
            wait_until(lambda: all(gateway.post(ask()).status == 200 for _ in range(8)), what="Redis to be back")
            assert gateway.errors.read_text().count("the shared counters are lost") <= 4


def test_a_budget_is_not_multiplied_while_redis_is_away(template: Template, tmp_path: Path) -> None:
    redis_or_skip()
    address, organization = urlparse(REDIS), {"on_counter_loss": "open"}
    with Cable(address.port or 6379, address.hostname or "127.0.0.1") as cable:
        url = f"redis://127.0.0.1:{cable.port}{address.path}"
        limits = {"main": daily(str(COST * 40)), "organization": organization}
        with four_workers(template, tmp_path, url, **limits) as (gateway, _):
            cable.cut()
            replies = at_once(gateway, 200)
            assert {each.status for each in replies} == {200, 429}
            assert sum(each.status == 200 for each in replies) <= 40
