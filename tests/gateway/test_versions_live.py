"""Versions through a running gateway: it says what it serves, follows a rollback, and makes a scheduled change by itself."""

import json
import re
import time
from datetime import UTC, datetime, timedelta

from gateway_project.jobs import JOBS
from tests.fake_provider import FakeProvider
from tests.gateway.bodies import ask
from tests.gateway.conftest import OwnGateway
from tests.gateway.console import Console
from tests.harness import Config, Gateway, alias, route, target, wait_until

MOVED = Config(
    routes=[route("moved", target("anthropic-main", "claude-elsewhere"))], aliases=[alias("claude-alias", "moved")]
)


def served(gateway: Gateway, provider: FakeProvider) -> str:
    """The upstream's name of the model that serves `claude-alias` now."""
    assert gateway.post(ask(model="claude-alias")).status == 200
    return str(provider.received[-1].json["model"])


def test_a_rollback_is_served_within_a_second(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, provider):
        first = int(gateway.manage("config_versions").split()[0])
        gateway.import_config(MOVED, "--reason", "a try")
        wait_until(lambda: served(gateway, provider) == "claude-elsewhere", timeout=1)
        assert "why: a try" in gateway.manage("config_versions")
        gateway.manage("rollback_config", str(first))
        wait_until(lambda: served(gateway, provider) == "claude-upstream-20260101", timeout=1)


def test_a_process_is_seen_while_it_serves_and_not_afterwards(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, _):
        console = Console(gateway)
        number = int(gateway.manage("config_versions").split()[0])
        sentence = f"1 process, on version {number}"
        wait_until(lambda: sentence in console.get("/admin/"), what="the report")
        assert sentence in console.get("/admin/routing/configversion/")
        gateway.restart()
        wait_until(lambda: sentence in console.get("/admin/"), what="one report, not two")


def test_a_process_tells_how_its_background_jobs_go(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, _):
        console = Console(gateway)
        regular = len([job for job in JOBS if job.every is not None])

        def fine() -> int:
            jobs = console.get("/admin/").partition('id="jobs"')[2].partition("</section>")[0]
            assert "failed" not in jobs
            return jobs.count('class="pill good">fine<')

        wait_until(lambda: fine() == regular, timeout=30, what="every regular job has run once")


def test_a_scheduled_change_is_made_by_the_process_that_serves(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, provider):
        console = Console(gateway)
        gateway.import_config(Config(routes=MOVED.routes))
        listed = console.get("/admin/routing/modelalias/?q=claude-alias")
        page = re.findall(r'href="(/admin/routing/modelalias/\d+/change/)[^"]*">claude-alias<', listed)[0]
        choices = console.get(
            "/admin/autocomplete/?app_label=routing&model_name=modelalias&field_name=route&term=moved"
        )
        moved = json.loads(choices)["results"][0]["id"]
        due = datetime.now(UTC) + timedelta(seconds=3)
        when = f"{due:%Y-%m-%dT%H:%M:%S}"
        answer = console.save(page, "modelalias_form", route=moved, change_not_before=when)
        assert "Nothing is changed yet" in answer
        assert served(gateway, provider) == "claude-upstream-20260101"
        left = due.timestamp() - time.time()
        wait_until(lambda: served(gateway, provider) == "claude-elsewhere", timeout=left + 3)
        assert ">applied<" in console.get("/admin/routing/configproposal/")
