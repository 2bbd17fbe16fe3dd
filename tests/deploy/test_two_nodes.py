"""Two nodes of two workers behind nginx, one PostgreSQL, one Redis: a node dies under load and comes back.

What the killed node had in its hands is lost to its clients and to nobody else; when it is back, every request that any
client got an answer to has one record, and so has every request that was cut off.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.conftest import Nginx, StartNginx
from tests.fake_provider import Expected, FakeProvider
from tests.gateway.bodies import ask
from tests.gateway.load import Account, Load, wait_for
from tests.harness import KEYS, Gateway, Template, send, standard_config, wait_until
from tests.harness.databases import postgres_database
from tests.serving.conftest import REDIS
from tests.serving.test_serve import redis_or_skip, workers

pytestmark = [pytest.mark.server, pytest.mark.postgres, pytest.mark.redis]
CLIENTS = 8
WORKERS = 2  # of a node


@dataclass(frozen=True, slots=True)
class Site:
    nodes: tuple[Gateway, Gateway]
    nginx: Nginx
    provider: FakeProvider


@contextmanager
def running(template: Template, folder: Path, start_nginx: StartNginx) -> Iterator[Site]:
    redis_or_skip()
    with postgres_database() as database, FakeProvider(expected=Expected(secrets=set(KEYS.values()))) as provider:
        config = standard_config(provider.url)
        shared = {"DATABASE_URL": database, "REDIS_URL": REDIS, "GATEWAY_WORKERS": str(WORKERS)}
        shared["GATEWAY_TRUSTED_PROXIES"] = "127.0.0.1"
        for name in "ab":
            (folder / name).mkdir()
        with (
            Gateway(template, folder / "a", config, environment=shared) as first,
            Gateway(template, folder / "b", config, environment=shared, beside=first) as second,
        ):
            for node in (first, second):
                wait_until(lambda node=node: serving(node), timeout=30, what="both workers")  # type: ignore[misc]
            yield Site((first, second), start_nginx([first.port, second.port]), provider)
            assert provider.violations == []


def serving(node: Gateway) -> bool:
    return '"workers": 2' in node.errors.read_text()


def kill_node(node: Gateway) -> None:
    """All of its processes, as a machine that loses its power; but one a moment after the other. So each client may lose a
    request to each worker."""
    assert node.process is not None
    for pid in (*workers(node), node.process.pid):
        os.kill(pid, signal.SIGKILL)
    node.process.wait(10)


def check(site: Site, account: Account, *, most_lost: int) -> None:
    """The books: each answer has one record, each cut-off request has one, nothing has two."""
    lost = len(account.broken) + len(account.refused)
    assert lost <= most_lost, (account.refused[:3], account.broken[:3])
    assert {status for status, _ in account.refused} <= {502, 200}, account.refused  # 200: a stream that was cut off
    answered = set(account.answered)
    assert len(answered) == len(account.answered)

    def complete() -> bool:
        return answered <= {record["request_id"] for record in site.nodes[0].records(outcome="served")}

    wait_until(complete, timeout=40, what="a record of every answer")
    sent = len(site.provider.received)
    wait_until(
        lambda: len(site.nodes[0].records()) >= sent, timeout=40, what="a record of every request that went upstream"
    )
    records = site.nodes[0].records()
    assert len({record["request_id"] for record in records}) == len(records)
    assert len(answered) <= len(records) <= len(answered) + lost
    assert {record["outcome"] for record in records} <= {"served", "shut_down", "client_left"}


def test_a_node_dies_and_returns(template: Template, tmp_path: Path, start_nginx: StartNginx) -> None:
    with running(template, tmp_path, start_nginx) as site:
        with Load(site.nginx, CLIENTS, stubborn=True) as account:
            wait_for(account, 60)
            kill_node(site.nodes[0])
            wait_for(account, len(account.answered) + 60)  # by the other one alone
            settled = len(account.broken) + len(account.refused)
            wait_for(account, len(account.answered) + 60)
            assert len(account.broken) + len(account.refused) == settled, "after the first moment nothing fails"
            site.nodes[0].start()
            before = len(records_of(site.nodes[0]))
            wait_until(
                lambda: len(records_of(site.nodes[0])) > before, timeout=30, what="work for the node that is back"
            )
        check(site, account, most_lost=CLIENTS * WORKERS)


def records_of(node: Gateway) -> list[str]:
    """What the node's workers count as served, a line each."""
    text = node.get("/metrics", key=node.token).body.decode()
    return [
        line for line in text.splitlines() if line.startswith("gateway_requests_total") and 'outcome="served"' in line
    ]


@pytest.mark.soak
def test_workers_and_nodes_die_and_are_replaced_for_minutes(
    template: Template, tmp_path: Path, start_nginx: StartNginx
) -> None:
    deaths = 0
    with running(template, tmp_path, start_nginx) as site:
        with Load(site.nginx, CLIENTS, stubborn=True) as account:
            until = time.monotonic() + 180
            while time.monotonic() < until:
                for node in site.nodes:
                    assert node.process is not None
                    wait_for(account, len(account.answered) + 200)
                    old = workers(node)
                    node.process.send_signal(signal.SIGHUP)
                    wait_until(lambda old=old, node=node: not workers(node) & old, timeout=60)  # type: ignore[misc]
                    os.kill(min(workers(node)), signal.SIGKILL)
                    wait_until(lambda node=node: len(workers(node)) == 2, timeout=30)  # type: ignore[misc]
                    wait_for(account, len(account.answered) + 200)
                    kill_node(node)
                    wait_for(account, len(account.answered) + 200)
                    node.start()
                    deaths += 1 + WORKERS
        check(site, account, most_lost=deaths * CLIENTS)
        with site.nginx.client() as client:
            send(client, ask())
            assert client.reply().status == 200
