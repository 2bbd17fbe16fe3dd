"""The list of requests in a real browser before a real server: rows come by themselves, by websocket or without."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.gateway.bodies import ask
from tests.gateway.conftest import OwnGateway
from tests.gateway.test_live import signed_in
from tests.harness import KEYS, Gateway

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed"),
]
SWITCHES = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
        yield chromium
        chromium.close()


def opened(browser: Browser, gateway: Gateway, script: str = "") -> tuple[Page, list[str]]:
    """The list, signed in, and what the browser complains about."""
    context = browser.new_context()
    context.add_cookies([{"name": "sessionid", "value": signed_in(gateway), "url": gateway.url}])
    if script:
        context.add_init_script(script)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{gateway.url}/teams/alpha/requests/")
    return page, complaints


def served(gateway: Gateway, key: str = "main") -> str:
    answer = gateway.post(ask(), key=KEYS[key])
    assert answer.status == 200
    return answer.value("request-id")


def test_a_row_appears_live_and_a_paused_list_waits(browser: Browser, own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, _):
        page, complaints = opened(browser, gateway)
        page.wait_for_selector("html[data-live=open]", state="attached")
        served(gateway, "beta")  # of another team
        first = served(gateway)
        page.wait_for_selector(f"[data-request='{first}']", timeout=8000)
        assert page.locator("[data-request]").count() == 1
        page.click("[data-live-pause]")
        second = served(gateway)
        page.wait_for_selector("text=Paused, 1 new", timeout=8000)
        assert page.locator(f"[data-request='{second}']").count() == 0
        page.click("[data-live-pause]")
        page.wait_for_selector(f"[data-request='{second}'].fresh", timeout=8000)
        assert complaints == []
        page.context.close()


def test_without_websockets_the_list_asks_from_time_to_time(browser: Browser, own_gateway: OwnGateway) -> None:
    with own_gateway(server="runserver") as (gateway, _):
        page, complaints = opened(browser, gateway, "delete window.WebSocket;")
        page.wait_for_selector("[data-live-state].on")
        request_id = served(gateway)
        page.wait_for_selector(f"[data-request='{request_id}']", timeout=12_000)
        assert complaints == []
        page.context.close()


def test_a_page_connects_again_when_the_server_is_back(browser: Browser, own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, _):
        page, _ = opened(browser, gateway)
        page.wait_for_selector("html[data-live=open]", state="attached")
        gateway.stop()
        page.wait_for_selector("html[data-live=closed]", state="attached", timeout=8000)
        gateway.start()
        page.wait_for_selector("html[data-live=open]", state="attached", timeout=20_000)
        request_id = served(gateway)
        page.wait_for_selector(f"[data-request='{request_id}']", timeout=8000)
        page.context.close()


def test_a_request_explains_itself_and_every_page_fits_a_phone(browser: Browser, own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, _):
        session = [("x-claude-code-session-id", "s-" + "long" * 40), ("x-claude-code-agent-id", "agent-" + "x" * 150)]
        answer = gateway.post(ask(), headers=session)
        request_id = answer.value("request-id")
        gateway.record(request_id)
        page, complaints = opened(browser, gateway)
        page.set_viewport_size({"width": 360, "height": 780})
        page.click(f"[data-request='{request_id}'] a")
        page.click("text=Explain this request")
        page.wait_for_selector("#explained >> text=goes to anthropic-main")
        wide = "document.documentElement.scrollWidth - window.innerWidth"
        assert page.evaluate(wide) <= 0
        page.click("dd a:has(#session-id)")
        page.wait_for_selector("text=Agents")
        addresses = [page.url, f"{gateway.url}/teams/alpha/sessions/", f"{gateway.url}/teams/alpha/requests/"]
        addresses += [
            f"{gateway.url}/teams/alpha/requests/?status=x",
            f"{gateway.url}/teams/alpha/requests/{request_id}/explanation/",
        ]
        for address in addresses:
            page.goto(address)
            assert page.evaluate(wide) <= 0, address
        assert complaints == []
        page.context.close()
