"""A hundred changes of the configuration while several processes serve: nobody notices, everybody follows within a second."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.fake_provider import FakeProvider, Gate, stream
from tests.gateway.bodies import BLOCK, END, START, STOP, STOP_BLOCK, ask, delta
from tests.gateway.conftest import make_provider
from tests.gateway.console import Console
from tests.gateway.load import Load
from tests.harness import Gateway, Template, postgres_database, route, send, standard_config, target, wait_until
from tests.serving.conftest import REDIS
from tests.serving.test_serve import redis_or_skip

CHANGES = 100
WORKERS = 3
SECONDS = 1.0


class Tables:
    """The gateway's database, read beside it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def all(self, query: str) -> list[Any]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            return connection.execute(query).fetchall()

    def number(self) -> int:
        return int(self.all("SELECT number FROM accounting_revision WHERE name = 'routing'")[0][0])

    def served(self) -> list[int]:
        """The version of every process, the slowest first."""
        return [row[0] for row in self.all("SELECT version FROM routing_processreport ORDER BY version")]


@pytest.fixture
def database() -> Iterator[str]:
    redis_or_skip()
    with postgres_database() as url:
        yield url


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with make_provider() as provider:
        yield provider
        assert provider.violations == []


@pytest.fixture
def gateway(template: Template, tmp_path: Path, database: str, provider: FakeProvider) -> Iterator[Gateway]:
    config = standard_config(provider.url)
    config.routes.append(route("other", target("anthropic-main", "claude-other"), max_attempts=1))
    environment = {
        "DATABASE_URL": database,
        "REDIS_URL": REDIS,
        "GATEWAY_WORKERS": str(WORKERS),
        "GATEWAY_PING_SECONDS": "250",
    }
    with Gateway(template, tmp_path, config, environment=environment) as gateway:
        wait_until(lambda: f'"workers": {WORKERS}' in gateway.errors.read_text(), timeout=30, what="the workers")
        yield gateway


@pytest.mark.postgres
@pytest.mark.redis
def test_a_hundred_changes_under_load(gateway: Gateway, provider: FakeProvider, database: str) -> None:
    tables, console = Tables(database), Console(gateway)
    routes = dict(tables.all("SELECT name, id FROM routing_route"))
    alias = tables.all("SELECT id FROM routing_modelalias WHERE name = 'claude-same'")[0][0]
    models = {tables.number(): "claude-same"}
    first = tables.number()
    wait_until(lambda: tables.served() == [first] * WORKERS, what="the first reports")

    gate = Gate()
    provider.on_model("claude-drain", stream(START, BLOCK, delta("one"), gate, delta("two"), STOP_BLOCK, END, STOP))
    with gateway.client(timeout=120) as held, Load(gateway, 2, pause=0.02) as account:
        send(held, ask(model="claude-drain", stream=True))
        in_flight = held.head().value("request-id")
        held.until(delta("one"))
        for count in range(CHANGES):
            name = "other" if count % 2 == 0 else "same"
            page = f"/admin/routing/modelalias/{alias}/change/"
            console.save(page, "modelalias_form", route=str(routes[name]), change_reason=f"change {count}")
            until = time.monotonic() + SECONDS
            number = tables.number()
            models[number] = f"claude-{name}"
            wait_until(
                lambda number=number: tables.served() == [number] * WORKERS,  # type: ignore[misc]
                timeout=until - time.monotonic(),
                what=f"every process on {number}, not {tables.served()}",
            )
        assert f"{WORKERS} processes, all on version {first + CHANGES}" in console.get("/admin/")
        gate.open()
        assert held.rest() == delta("two") + STOP_BLOCK + END + STOP

    assert len(models) == CHANGES + 1
    assert (account.refused, account.broken) == ([], [])
    assert len(account.answered) > CHANGES
    wanted = len(account.answered) + 1
    records = "SELECT request_id, config_revision, upstream_model, outcome FROM accounting_requestrecord"
    inference = f"{records} WHERE operation = 'messages'"
    wait_until(lambda: len(tables.all(inference)) >= wanted, what="every record")
    found = {row[0]: row[1:] for row in tables.all(inference)}
    assert {outcome for _, _, outcome in found.values()} == {"served"}
    assert found.pop(in_flight) == (first, "claude-drain", "served"), "it ends on the version that it began with"
    assert all(models[number] == model for number, model, _ in found.values()), (
        "a record names the version that served it"
    )
    assert len({number for number, _, _ in found.values()}) > CHANGES / 2
    versions = tables.all("SELECT reason FROM routing_configversion ORDER BY number DESC")
    assert [row[0] for row in versions[:CHANGES]] == [f"change {count}" for count in reversed(range(CHANGES))]
