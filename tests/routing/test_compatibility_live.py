"""A rule that is made in the console changes what goes upstream within a second, in the running gateway."""

import http.cookiejar
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fake_provider import Expected, FakeProvider
from tests.fake_provider.bedrock import Bedrock
from tests.gateway.bodies import ask
from tests.harness import KEYS, Config, Gateway, Record, Template, provider_entry, wait_until
from tests.harness.formats import AWS_KEY_ID, AWS_SECRET, AWS_TOKEN, REGION, bedrock_entry, own_config

pytestmark = pytest.mark.server

EMAIL, PASSWORD = "ada@example.org", "correct horse battery 9"
LIST = "/admin/routing/compatibilityrule/"
CONTEXT = "context-1m-2025-08-07"  # passes to Bedrock by a shipped rule
THINKING = "interleaved-thinking-2025-05-14"


class Console:
    """An administrator's browser, as far as forms need one."""

    def __init__(self, gateway: Gateway) -> None:
        gateway.manage("create_admin", "--email", EMAIL, "--password-stdin", text=f"{PASSWORD}\n")
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._open = urllib.request.build_opener(cookies).open
        self._url = gateway.url
        self.post("/accounts/login/", page="/accounts/login/", email=EMAIL, password=PASSWORD)

    def get(self, path: str) -> str:
        with self._open(self._url + path, timeout=20) as response:
            return str(response.read().decode())

    def post(self, path: str, *, page: str = LIST, **fields: str) -> str:
        """Posts a form of `page`; returns the page that it leads to."""
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.get(page))
        assert found
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": found[1], **fields}).encode()
        with self._open(self._url + path, data, timeout=20) as response:
            return str(response.read().decode())

    def wait_shown(self, text: str) -> None:
        wait_until(lambda: text in self.get(LIST), what=f"{text} on the page")


@contextmanager
def running(template: Template, folder: Path, config: Config) -> Iterator[tuple[Gateway, Console]]:
    with Gateway(template, folder, config) as gateway:
        yield gateway, Console(gateway)


def requested(gateway: Gateway, model: str, *betas: str, **fields: str) -> str:
    """Sends a request with these betas; returns its id."""
    answer = gateway.post({**ask(model=model), **fields}, headers=[("anthropic-beta", ",".join(betas))])
    assert answer.status == 200, answer.body
    return answer.value("request-id")


def removed(record: Record) -> tuple[list[str], list[str]]:
    return record["betas_removed"], record["fields_removed"]


def test_a_rule_of_the_console_is_live_within_a_second(template: Template, tmp_path: Path) -> None:
    with FakeProvider(expected=Expected(secrets=set(KEYS.values()))) as provider:
        config = own_config([provider_entry("main", provider.url)])
        with running(template, tmp_path, config) as (gateway, console):
            first = requested(gateway, "claude-of-main", "some-beta-1", "other-beta-2", service_tier="auto")
            assert provider.received[-1].value("anthropic-beta") == "some-beta-1,other-beta-2"
            assert removed(gateway.record(first)) == ([], [])

            form = {
                "kind": "beta", "name": "some-beta-*", "upstream_format": "anthropic", "model": "*", "action": "drop",
                "pair": "service_tier", "date": "2026-11-01", "enabled": "on",
            }  # fmt: skip
            assert "was added successfully" in console.post(f"{LIST}add/", page=f"{LIST}add/", **form)
            until = time.monotonic() + 1.0

            def left_out() -> bool:
                requested(gateway, "claude-of-main", "some-beta-1", "other-beta-2")
                return provider.received[-1].value("anthropic-beta") == "other-beta-2"

            wait_until(left_out, timeout=until - time.monotonic(), what="the rule at work")
            last = requested(gateway, "claude-of-main", "some-beta-1", service_tier="auto")
            assert provider.received[-1].values("anthropic-beta") == []
            assert "service_tier" not in provider.received[-1].json
            assert removed(gateway.record(last)) == (["some-beta-1"], ["service_tier"])
            assert provider.violations == []
        lines = [json.loads(line) for line in gateway.errors.read_text().splitlines() if "left out" in line]
        assert [(line["name"], line["level"]) for line in lines] == [("some-beta-1", "info"), ("service_tier", "info")]


def test_a_refusal_becomes_a_suggestion_and_a_rule_ends_it(template: Template, tmp_path: Path) -> None:
    amazon = Bedrock(region=REGION, keys={AWS_KEY_ID: AWS_SECRET}, tokens={AWS_KEY_ID: AWS_TOKEN})
    amazon.known_betas, amazon.complaint = frozenset({THINKING}), f"invalid beta flag: {CONTEXT}"
    with amazon.provider(set(KEYS.values())) as provider:
        config = own_config([bedrock_entry("cloud", provider.url)])
        with running(template, tmp_path, config) as (gateway, console):
            first = requested(gateway, "claude-of-cloud", CONTEXT, THINKING, "brand-new-2026-12-01")
            assert [each.json.get("anthropic_beta") for each in provider.received] == [[CONTEXT, THINKING], [THINKING]]
            assert set(removed(gateway.record(first))[0]) == {CONTEXT, "brand-new-2026-12-01"}

            console.wait_shown(f"invalid beta flag: {CONTEXT}")
            assert f"An upstream refused the beta {CONTEXT}" in console.get("/admin/")
            number = re.search(r'name="suggestion" value="(\d+)"', console.get(LIST))
            assert number
            page = console.post(f"{LIST}suggestion/", suggestion=number[1], decision="accept")
            assert f"From now on {CONTEXT} is left out" in page
            assert f"An upstream refused the beta {CONTEXT}" not in console.get("/admin/")

            def asked_once() -> bool:
                before = len(provider.received)
                requested(gateway, "claude-of-cloud", CONTEXT, THINKING)
                return len(provider.received) == before + 1

            wait_until(asked_once, timeout=1, what="one call for one request")
            assert provider.received[-1].json["anthropic_beta"] == [THINKING]

            # A beta that no rule names was left out; it stands on the page and is let pass.
            console.wait_shown("brand-new-2026-12-01")
            amazon.known_betas = None
            console.post(f"{LIST}unnamed/", name="brand-new-2026-12-01", upstream_format="bedrock", action="pass")

            def passes() -> bool:
                requested(gateway, "claude-of-cloud", "brand-new-2026-12-01")
                return bool(provider.received[-1].json.get("anthropic_beta") == ["brand-new-2026-12-01"])

            wait_until(passes, timeout=1, what="the beta upstream")
            assert provider.violations == []
