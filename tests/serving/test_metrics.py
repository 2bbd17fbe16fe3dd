"""`/metrics` of a running server: who may read it, and that it adds up over the workers."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.gateway.bodies import ask
from tests.harness import Gateway, Template, standard_config, wait_until
from tests.harness.process import run_manage
from tests.serving.test_serve import Several, several, workers

__all__ = ["several"]
pytestmark = pytest.mark.server
ABROAD = [("x-forwarded-for", "203.0.113.9")]


def page(gateway: Gateway) -> str:
    reply = gateway.get("/metrics", key="")
    assert reply.status == 200
    assert reply.value("content-type").startswith("text/plain")
    return reply.body.decode()


def total(text: str, pattern: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(pattern, line))


def test_who_may_read_it(template: Template, tmp_path: Path) -> None:
    with Gateway(template, tmp_path, standard_config("http://127.0.0.1:9")) as gateway:
        assert gateway.get("/metrics", key="").status == 200, "loopback is allowed unless said otherwise"
        stranger = gateway.get("/metrics", key="", headers=ABROAD)
        assert (stranger.status, stranger.value("www-authenticate")) == (401, 'Bearer realm="gateway metrics"')
        assert gateway.get("/metrics", headers=ABROAD).status == 401, "a virtual key is not an API token"
        assert gateway.get("/metrics", key=gateway.token, headers=ABROAD).status == 200
        extra = ("create_api_token", "--name", "t", "--team", "alpha", "--role", "viewer")
        team = run_manage(gateway.data, *extra).strip()
        assert gateway.get("/metrics", key=team, headers=ABROAD).status == 403
        assert gateway.get("/metrics", method="POST", key="").status == 405
        assert gateway.get("/metrics", method="HEAD", key="").body == b""


def test_addresses_behind_a_trusted_proxy_count(template: Template, tmp_path: Path) -> None:
    settings = {"GATEWAY_TRUSTED_PROXIES": "127.0.0.1", "GATEWAY_METRICS_ALLOW": "203.0.113.0/24"}
    with Gateway(template, tmp_path, standard_config("http://127.0.0.1:9"), environment=settings) as gateway:
        assert gateway.get("/metrics", key="", headers=ABROAD).status == 200
        assert gateway.get("/metrics", key="").status == 401


def test_figures_of_all_workers_are_on_one_page(several: Several) -> None:
    with several() as (gateway, _):
        for _ in range(40):
            assert gateway.post(ask()).status == 200  # each on a connection of its own, so both workers get some

        def complete() -> bool:
            text = page(gateway)
            return total(text, r'gateway_requests_total\{.*outcome="served"') == 40

        wait_until(complete, what="the other worker's figures")
        text = page(gateway)
        assert set(re.findall(r'gateway_ready\{worker="(\d+)"\} 1\.0', text)) == {"0", "1"}
        assert total(text, r"gateway_snapshot_revision") > 0
        assert total(text, r"gateway_event_loop_lag_seconds_count") > 0
        assert total(text, r"gateway_connections") >= 1
        os.kill(min(workers(gateway)), signal.SIGKILL)
        wait_until(
            lambda: total(page(gateway), r"gateway_requests_total\{.*served") < 40, what="the dead to be forgotten"
        )
        wait_until(lambda: len(set(re.findall(r'gateway_ready\{worker="(\d+)"\}', page(gateway)))) == 2, timeout=30)
