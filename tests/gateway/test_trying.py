"""Trying a model from the dashboard, in a browser's place and in a real browser, before both servers."""

import json
import re
import urllib.parse
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.fake_provider import Gate, reply, stream
from tests.gateway.bodies import BLOCK, END, START, STOP, STOP_BLOCK, WHOLE, delta, encoded, message
from tests.gateway.conftest import OwnGateway
from tests.harness import Gateway, wait_until

PASSWORD = "correct horse battery 9"
MAKE = """
from accounting.models import *
user = User.objects.create_user("mia@example.org", "correct horse battery 9")
team = Team.objects.order_by("pk").first()
Membership.objects.create(team=team, user=user, role="member")
print(team.name, team.projects.first().name)
"""


class Person:
    """Somebody signed in, as a program with cookies."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.team, self.project = gateway.manage("shell", "-c", MAKE).split()[-2:]
        self.cookies: dict[str, str] = {}
        self.get("/accounts/login/")
        self.post("/accounts/login/", {"email": "mia@example.org", "password": PASSWORD})

    @property
    def try_path(self) -> str:
        return f"/teams/{self.team}/models/claude-same/try/"

    def get(self, path: str) -> tuple[int, bytes]:
        return self._ask("GET", path, b"", [])

    def post(self, path: str, form: dict[str, str], *more: tuple[str, str]) -> tuple[int, bytes]:
        headers = [("content-type", "application/x-www-form-urlencoded"), *more]
        fields = {"csrfmiddlewaretoken": self.cookies.get("csrftoken", ""), **form}
        return self._ask("POST", path, urllib.parse.urlencode(fields).encode(), headers)

    def headers(self) -> list[tuple[str, str]]:
        pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return [("cookie", pairs), ("connection", "close")]

    def _ask(self, method: str, path: str, body: bytes, headers: list[tuple[str, str]]) -> tuple[int, bytes]:
        with self.gateway.client() as client:
            client.request(method, path, [*self.headers(), *headers], body or None)
            answer = client.reply(method=method)
        for value in answer.values("set-cookie"):
            name, _, rest = value.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return answer.status, answer.body


FORM = {"prompt": "say hello", "max_tokens": "99"}


@pytest.mark.parametrize("server", ["serve", "runserver"])
def test_the_answer_comes_as_a_stream_and_is_on_record(
    server: Literal["serve", "runserver"], own_gateway: OwnGateway
) -> None:
    with own_gateway(server=server) as (gateway, provider):
        person = Person(gateway)
        provider.script(stream(*WHOLE))
        status, body = person.post(person.try_path, {**FORM, "project": person.project}, ("x-try-stream", "1"))
        head, _, rest = body.partition(b"\n")
        assert status == 200
        assert rest == b"".join(WHOLE)
        record = gateway.record(json.loads(head)["request_id"])
        assert (record["user"], record["key"], record["project"]) == ("mia@example.org", "try-it", person.project)
        assert (record["outcome"], record["tokens"]["output"]) == ("served", 5)
        sent = json.loads(provider.received[-1].body)
        assert (sent["max_tokens"], sent["messages"][0]["content"]) == (99, "say hello")


def test_without_scripts_the_whole_answer_is_a_page(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, provider):
        person = Person(gateway)
        provider.script(reply(200, encoded(message())))
        status, body = person.post(person.try_path, {**FORM, "project": person.project})
        assert status == 200
        assert b"<pre" in body
        assert b"Hello" in body
        address = re.search(rb'href="(/teams/[^"]+/models/tried/req_[^"]+)"', body)
        assert address is not None
        wait_until(lambda: person.get(address[1].decode())[0] == 200, what="the record's page")


def test_limits_hold_for_people_too(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, provider):
        person = Person(gateway)
        gateway.manage(
            "shell",
            "-c",
            "from accounting.audit.changes import *\nfrom accounting.models import *\n"
            "with changing(Actor('test', 'system')) as change:\n"
            f"    change.save(RateLimit(scope='team', team=Team.objects.get(name='{person.team}'), "
            "kind='requests_per_minute', amount=1))",
        )
        provider.script(reply(200, encoded(message())))

        def refused() -> bool:
            status, body = person.post(person.try_path, {**FORM, "project": person.project})
            return status == 200 and b"requests per minute" in body.lower()

        wait_until(refused, timeout=15, what="a refusal by the limit")


def test_who_stops_reading_has_left(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, provider):
        person = Person(gateway)
        gate = Gate()
        provider.script(stream(START, BLOCK, delta("so far"), gate, STOP_BLOCK, END, STOP))
        fields = {"csrfmiddlewaretoken": person.cookies["csrftoken"], **FORM, "project": person.project}
        headers = [("content-type", "application/x-www-form-urlencoded"), ("x-try-stream", "1")]
        with gateway.client() as client:
            body = urllib.parse.urlencode(fields).encode()
            client.request("POST", person.try_path, [*person.headers(), *headers], body)
            client.head()
            client.until(delta("so far"))
            client.leave()
        record = gateway.wait_records(1, user="mia@example.org")[0]
        gate.open()
        assert record["outcome"] == "client_left"


@pytest.fixture(scope="module")
def browser() -> "Browser":  # type: ignore[misc]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.browser
def test_a_browser_shows_text_tokens_and_cost(browser: Browser, own_gateway: OwnGateway, tmp_path: Path) -> None:
    with own_gateway() as (gateway, provider):
        person = Person(gateway)
        provider.script(stream(*WHOLE))
        page = browser.new_context().new_page()
        page.goto(f"{gateway.url}/accounts/login/")
        page.fill("[name=email]", "mia@example.org")
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
        page.goto(f"{gateway.url}/teams/{person.team}/models/claude-same/")
        page.fill("[name=prompt]", "say hello")
        page.get_by_role("button", name="Send").click()
        page.locator("[data-text]", has_text="Hello").wait_for()
        page.get_by_text("11 input, 5 output").wait_for()
        page.context.close()
