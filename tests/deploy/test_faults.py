"""Everything that dies in a data centre, one after the other, under load: a worker, a node, Redis, PostgreSQL; a rolling
restart and a change of configuration among them. Two nodes of two workers behind nginx, with a Redis and a PostgreSQL of
their own.

The books at the end: each answer has one record, no request has two, the counters agree with the records to the last digit,
and a budget lets in as many requests as it has money for. Errors are printed by what caused them.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from tests.deploy.conftest import Nginx, StartNginx
from tests.deploy.services import OwnPostgres, OwnRedis
from tests.deploy.test_two_nodes import WORKERS, kill_node, serving
from tests.fake_provider import Expected, FakeProvider
from tests.gateway.bodies import ask
from tests.gateway.load import Account, Load, wait_for
from tests.gateway.test_limits import at_once, budgets, daily, limited
from tests.harness import KEYS, Gateway, Template, wait_until
from tests.serving.test_serve import workers

pytestmark = [pytest.mark.server, pytest.mark.postgres, pytest.mark.redis, pytest.mark.soak]
CLIENTS = 8
PLENTY = "100000"
ACT_SECONDS = 6.0
LEFT = 20  # requests that the budget has money for in the end


def say(text: str) -> None:
    """A line of the report, seen with `-s` and where the test fails."""
    sys.stdout.write(text + "\n")


@dataclass(frozen=True, slots=True)
class Site:
    nodes: tuple[Gateway, Gateway]
    nginx: Nginx
    provider: FakeProvider
    redis: OwnRedis
    postgres: OwnPostgres

    def spent(self) -> Decimal:
        return Decimal(budgets(self.nodes[0])[0]["spent"])

    def give(self, amount: Decimal | str) -> None:
        """A change of configuration: another amount for the key's budget."""
        self.nodes[0].import_config(limited(self.provider.url, main=daily(str(amount))))


@dataclass(slots=True)
class Errors:
    """How many requests failed in each act, and with which answers."""

    account: Account
    acts: dict[str, dict[str, int]] = field(default_factory=dict)

    @contextmanager
    def during(self, act: str) -> Iterator[None]:
        refused, broken, answered = (
            len(each) for each in (self.account.refused, self.account.broken, self.account.answered)
        )
        begun = time.monotonic()
        yield
        wait_for(self.account, len(self.account.answered) + 100, timeout=60)
        # One fault at a time: nginx leaves a node that failed alone for two seconds, and must not have to leave both.
        time.sleep(max(0.0, begun + ACT_SECONDS - time.monotonic()))
        found: dict[str, int] = {}
        for status, _ in self.account.refused[refused:]:
            found[f"status {status}"] = found.get(f"status {status}", 0) + 1
        if len(self.account.broken) > broken:
            found["connection broken"] = len(self.account.broken) - broken
        self.acts[act] = found
        say(f"{act}: {len(self.account.answered) - answered} answered, errors: {found or 'none'}")


@contextmanager
def running(template: Template, folder: Path, start_nginx: StartNginx) -> Iterator[Site]:
    redis, postgres = OwnRedis(), OwnPostgres()
    try:
        with FakeProvider(expected=Expected(secrets=set(KEYS.values()))) as provider:
            config = limited(provider.url, main=daily(PLENTY))
            shared = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url, "GATEWAY_WORKERS": str(WORKERS)}
            shared["GATEWAY_TRUSTED_PROXIES"] = "127.0.0.1"
            for name in "ab":
                (folder / name).mkdir()
            with (
                Gateway(template, folder / "a", config, environment=shared) as first,
                Gateway(template, folder / "b", config, environment=shared, beside=first) as second,
            ):
                for node in (first, second):
                    wait_until(lambda node=node: serving(node), timeout=60, what="both workers")  # type: ignore[misc]
                yield Site((first, second), start_nginx([first.port, second.port]), provider, redis, postgres)
    finally:
        redis.stop()
        postgres.close()


def acts(site: Site, errors: Errors) -> None:
    first, second = site.nodes
    assert first.process is not None
    with errors.during("nothing"):
        pass
    with errors.during("kill -9 of a worker"):
        os.kill(min(workers(first)), signal.SIGKILL)
        wait_until(lambda: len(workers(first)) == 2, timeout=60)
    with errors.during("kill -9 of a node"):
        kill_node(second)
    with errors.during("the node comes back"):
        second.start()
    with errors.during("kill -9 of Redis, away for two seconds"):
        site.redis.kill()
        time.sleep(2)
        site.redis.start()
    with errors.during("restart of PostgreSQL"):
        site.postgres.restart()
    with errors.during("rolling restart of both nodes"):
        for node in site.nodes:
            assert node.process is not None
            old = workers(node)
            node.process.send_signal(signal.SIGHUP)
            wait_until(lambda node=node, old=old: not workers(node) & old, timeout=90)  # type: ignore[misc]
    with errors.during("a change of configuration"):
        site.give("99999")


def check_books(site: Site, account: Account) -> None:
    answered = set(account.answered)
    assert len(answered) == len(account.answered)
    wait_until(
        lambda: answered <= {each["request_id"] for each in site.nodes[0].records(outcome="served")},
        timeout=60,
        what="a record of every answer",
    )
    wait_until(
        lambda: (
            len([each for each in site.nodes[0].records() if each["attempts"] or each["outcome"] == "shut_down"])
            >= len(site.provider.received)
        ),
        timeout=60,
        what="a record of every request that went upstream",
    )
    records = site.nodes[0].records()
    assert len({each["request_id"] for each in records}) == len(records), "no record is there twice"
    # What a crash left open is compared with the records once a minute, and put right when it is there twice.
    wait_until(
        lambda: site.spent() == sum(Decimal(each["cost_usd"]) for each in site.nodes[0].records()),
        timeout=240,
        what="the counters to agree with the records",
    )


def test_what_a_data_centre_does(template: Template, tmp_path: Path, start_nginx: StartNginx) -> None:
    with running(template, tmp_path, start_nginx) as site:
        with Load(site.nginx, CLIENTS, stubborn=True) as account:
            wait_for(account, 50, timeout=60)
            errors = Errors(account)
            acts(site, errors)
        say(f"{len(account.answered)} answered, {len(account.refused) + len(account.broken)} failed")
        for act in ("nothing", "restart of PostgreSQL", "rolling restart of both nodes", "a change of configuration"):
            assert not errors.acts[act], (act, errors.acts[act], account.refused[-3:])
        for act, deaths in (("kill -9 of a worker", 1), ("kill -9 of a node", WORKERS), ("the node comes back", 0)):
            assert sum(errors.acts[act].values()) <= CLIENTS * deaths, (act, errors.acts[act])
        assert set(errors.acts["kill -9 of Redis, away for two seconds"]) <= {"status 503"}
        check_books(site, account)
        check_limit(site)
        assert site.provider.violations == []


def check_limit(site: Site) -> None:
    """A budget with money for so many requests more lets in exactly so many, whichever worker they come to."""
    node = site.nodes[1]
    before = site.spent()
    assert node.post(ask()).status == 200
    wait_until(lambda: site.spent() > before, what="the price of a request")
    cost = site.spent() - before
    site.give(site.spent() + cost * LEFT)
    time.sleep(1.2)  # a change is in force within a second
    replies = at_once(node, 3 * LEFT)
    assert {each.status for each in replies} == {200, 429}
    assert sum(each.status == 200 for each in replies) == LEFT
    wait_until(lambda: budgets(node)[0]["reserved"] == "0", what="every request to be settled")
    assert site.spent() == before + cost * (LEFT + 1)
