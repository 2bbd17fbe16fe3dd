"""`manage.py serve` as its operator meets it: what it refuses to start with, signals, workers that die or are replaced."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.fake_provider import Expected, FakeProvider, Gate, stream
from tests.gateway.bodies import BLOCK, END, START, STOP, STOP_BLOCK, ask, delta
from tests.gateway.load import Load, wait_for
from tests.gateway.test_live import closed_with, said, signed_in, watch
from tests.harness import KEYS, Client, Gateway, Template, send, standard_config, wait_until
from tests.serving.conftest import REDIS, Run

pytestmark = pytest.mark.server

Several = Callable[..., AbstractContextManager[tuple[Gateway, FakeProvider]]]


def redis_or_skip() -> None:
    address = REDIS.partition("//")[2].partition("/")[0]
    host, _, port = address.rpartition("@")[2].partition(":")
    try:
        socket.create_connection((host, int(port or 6379)), timeout=3).close()
    except OSError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Redis is not reachable: {error}")
        pytest.skip(f"Redis is not reachable (TEST_REDIS_URL): {error}")


@pytest.fixture
def several(template: Template, tmp_path: Path) -> Several:
    """A configured gateway with two workers."""
    redis_or_skip()

    @contextmanager
    def make(**environment: str) -> Iterator[tuple[Gateway, FakeProvider]]:
        settings = {"GATEWAY_WORKERS": "2", "REDIS_URL": REDIS, **environment}
        with FakeProvider(expected=Expected(secrets=set(KEYS.values()))) as provider:
            config = standard_config(provider.url)
            with Gateway(template, tmp_path, config, environment=settings) as gateway:
                wait_until(lambda: '"workers": 2' in gateway.errors.read_text(), timeout=30, what="both workers")
                yield gateway, provider

    return make


def workers(gateway: Gateway) -> set[int]:
    assert gateway.process is not None
    pid = gateway.process.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def logged(gateway: Gateway, event: str) -> int:
    return gateway.errors.read_text().count(f'"event": "{event}"')


def hold_stream(gateway: Gateway, provider: FakeProvider, client: Client) -> Gate:
    """A stream that has begun and goes on when the gate opens."""
    gate = Gate()
    provider.on_model("claude-drain", stream(START, BLOCK, delta("one"), gate, delta("two"), STOP_BLOCK, END, STOP))
    send(client, ask(model="claude-drain", stream=True))
    assert client.head().status == 200
    client.until(delta("one"))
    return gate


REST = delta("two") + STOP_BLOCK + END + STOP


def test_several_workers_without_redis_are_refused(run: Run) -> None:
    command = run("serve", "--workers", "2", "--port", "0")
    assert command.result() == 1
    assert "REDIS_URL" in command.text()
    assert len(command.text().splitlines()) == 1


def test_a_database_that_is_not_migrated_is_refused_and_migrated_on_request(run: Run, tmp_path: Path) -> None:
    fresh = str(tmp_path / "fresh")
    refused = run("serve", "--port", "0", GATEWAY_DATA_DIR=fresh)
    assert refused.result() == 1
    assert "not migrated" in refused.text()
    assert len(refused.text().splitlines()) == 1
    served = run("serve", "--port", "0", "--migrate", GATEWAY_DATA_DIR=fresh)
    served.wait_for('"event": "serving"')


@pytest.mark.parametrize("options", [(), ("--migrate",)])
def test_a_database_that_is_away_is_one_line(run: Run, options: tuple[str, ...]) -> None:
    command = run("serve", "--port", "0", *options, DATABASE_URL="postgres://nobody@127.0.0.1:9/nothing")
    assert command.result() == 1
    assert "The database cannot be used" in command.text()
    assert len(command.text().splitlines()) == 1


@pytest.mark.parametrize("command", [("serve", "--port"), ("runserver", "--noreload"), ("runserver", "--quickstart")])
def test_a_port_in_use_is_one_line(run: Run, command: tuple[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run(*command, port)
        assert refused.result() == 1
    assert f"port {port} of 127.0.0.1" in refused.text()
    assert "already in use" in refused.text()
    assert len(refused.text().splitlines()) == 1


def test_an_idle_server_ends_with_status_zero(run: Run) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        command = run("serve", "--port", "0")
        command.wait_for('"event": "serving"')
        command.process.send_signal(number)
        assert command.result(10) == 0
        assert '"event": "stopped"' in command.text()


def test_a_worker_that_dies_is_replaced(several: Several) -> None:
    with several() as (gateway, _):
        before = workers(gateway)
        assert len(before) == 2
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in workers(gateway) and len(workers(gateway)) == 2, timeout=30)
        assert gateway.post(ask()).status == 200


def test_a_rolling_restart_refuses_nothing_and_finishes_streams(several: Several) -> None:
    with several() as (gateway, provider), gateway.client() as client:
        assert gateway.process is not None
        gate = hold_stream(gateway, provider, client)
        before = workers(gateway)
        gateway.process.send_signal(signal.SIGHUP)

        def replaced() -> bool:
            assert gateway.post(ask()).status == 200
            return logged(gateway, "workers replaced") == 1

        wait_until(replaced, timeout=30)
        wait_until(lambda: len(workers(gateway) & before) == 1, what="the idle one of the old workers to end")
        assert gateway.post(ask()).status == 200
        gate.open()
        assert client.rest() == REST
        wait_until(lambda: not workers(gateway) & before, what="the other one to end, too")
        assert len(workers(gateway)) == 2
        assert gateway.post(ask()).status == 200


def test_a_rolling_restart_does_not_wait_for_live_pages(several: Several) -> None:
    with several() as (gateway, _):
        assert gateway.process is not None
        session, before = signed_in(gateway), workers(gateway)
        with watch(gateway, session) as page:
            gateway.process.send_signal(signal.SIGHUP)
            assert closed_with(page) == 1012
            wait_until(lambda: not workers(gateway) & before, timeout=10, what="the old workers to end")
        with watch(gateway, session) as page:
            assert gateway.post(ask()).status == 200
            assert said(page)["count"] == 1


def test_a_rolling_restart_under_load_refuses_and_breaks_nothing(several: Several) -> None:
    with several() as (gateway, _), gateway.client() as idle:
        assert gateway.process is not None
        send(idle, ask())
        assert idle.reply().status == 200
        with Load(gateway, 8) as account:
            for count in (1, 2):
                before = workers(gateway)
                wait_for(account, len(account.answered) + 50)
                gateway.process.send_signal(signal.SIGHUP)
                replaced = partial(lambda old: not workers(gateway) & old, before)
                wait_until(replaced, timeout=30, what="the old workers to end")
                assert logged(gateway, "workers replaced") == count
                wait_for(account, len(account.answered) + 50)
        assert (account.refused, account.broken) == ([], [])
        assert idle.at_end(), "a quiet connection was closed, not kept by a process that wants to end"
        assert len(gateway.wait_records(len(account.answered) + 1)) == len(set(account.answered)) + 1


def test_readyz_is_false_while_draining_and_running_requests_go_on(template: Template, tmp_path: Path) -> None:
    with (
        FakeProvider(expected=Expected(secrets=set(KEYS.values()))) as provider,
        Gateway(
            template, tmp_path, standard_config(provider.url), environment={"GATEWAY_DRAIN_SECONDS": "60"}
        ) as gateway,
        gateway.client() as client,
        gateway.client() as looker,
    ):
        gate = hold_stream(gateway, provider, client)
        looker.request("GET", "/readyz")
        assert looker.reply().status == 200
        gateway.terminate()
        wait_until(lambda: logged(gateway, "draining") == 1)
        looker.request("GET", "/readyz")
        reply = looker.reply()
        assert (reply.status, reply.json["status"]) == (503, "not ready")
        assert gateway.get("/readyz", key="").status == 503, "the listener is still open, and says the same"
        gate.open()
        assert client.rest() == REST
        assert gateway.wait() == 0


def test_workers_that_cannot_start_leave_the_old_ones_in_place(several: Several, tmp_path: Path) -> None:
    level = tmp_path / "level"
    level.write_text("20")
    with several(GATEWAY_PING_SECONDS_FILE=str(level)) as (gateway, _):
        assert gateway.process is not None
        before = workers(gateway)
        level.write_text("not a number")
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: logged(gateway, "new workers cannot start; the old ones stay") == 1, timeout=30)
        wait_until(lambda: workers(gateway) == before, what="only the old workers")
        assert gateway.post(ask()).status == 200


def test_sigterm_to_all_processes_at_once_still_finishes_streams(several: Several) -> None:
    with several() as (gateway, provider), gateway.client() as client:
        gate = hold_stream(gateway, provider, client)
        for pid in workers(gateway):
            os.kill(pid, signal.SIGTERM)
        gateway.terminate()
        wait_until(lambda: logged(gateway, "draining") == 2)
        gate.open()
        assert client.rest() == REST
        assert gateway.wait() == 0


def test_workers_end_when_their_supervisor_was_killed(several: Several) -> None:
    with several() as (gateway, _):
        orphans = workers(gateway)
        gateway.kill9()
        wait_until(lambda: not any(alive(pid) for pid in orphans), timeout=20)


def test_a_second_signal_ends_what_runs(several: Several) -> None:
    with several(GATEWAY_DRAIN_SECONDS="600") as (gateway, provider), gateway.client() as client:
        hold_stream(gateway, provider, client)
        left = workers(gateway)
        gateway.terminate()
        wait_until(lambda: logged(gateway, "draining") == 2)
        gateway.terminate()
        assert b"event: error\n" in client.rest()
        assert gateway.wait(15) == 0
        assert not any(alive(pid) for pid in left)
