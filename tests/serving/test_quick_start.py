"""A newcomer's first minutes: the development server on an empty installation, and what it prints, used as printed."""

import http.client
import json
import re
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.serving.conftest import Command, Run

pytestmark = pytest.mark.server

READY = "Ctrl-C stops the server."


def curl_line(text: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.strip().startswith("curl "))
    return shlex.split(line)


def events(output: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in output.splitlines() if line.startswith("data: ")]


def started(run: Run, port: int, *options: str, **settings: str) -> Command:
    command = run("runserver", "--quickstart", *options, str(port), **settings)
    command.wait_for(READY)
    return command


def answer_to(curl: list[str]) -> str:
    """The text of the streamed answer that the printed line gets."""
    done = subprocess.run(curl, capture_output=True, text=True, timeout=60, check=True)
    received = events(done.stdout)
    assert received[-1]["type"] == "message_stop", done.stdout
    return "".join(each["delta"].get("text", "") for each in received if each["type"] == "content_block_delta")


def stop(command: Command) -> None:
    command.process.send_signal(signal.SIGTERM)
    assert command.result(20) == 0
    assert "Traceback" not in command.text()


def test_the_printed_line_gets_a_streamed_answer_and_a_second_start_makes_nothing_again(run: Run, port: int) -> None:
    first = started(run, port)
    curl = curl_line(first.text())
    assert "simulated answer" in answer_to(curl)
    secret = next(part for part in curl if part.startswith("authorization: Bearer ")).rpartition(" ")[2]
    assert f"export ANTHROPIC_BASE_URL=http://127.0.0.1:{port}\n" in first.text()
    assert f"export ANTHROPIC_AUTH_TOKEN={secret}\n" in first.text()
    assert first.text().count(READY) == 1
    before = run("export_config")
    assert before.result() == 0
    stop(first)

    second = started(run, port)
    assert "curl" not in second.text()
    assert "gw_" not in second.text()
    assert "simulated answer" in answer_to(curl)
    after = run("export_config")
    assert after.result() == 0
    assert after.text() == before.text()
    stop(second)


def test_the_simulated_provider_follows_the_server_to_another_port(run: Run, port: int, data: Path) -> None:
    first = started(run, port)
    curl = curl_line(first.text())
    stop(first)
    from tests.harness.process import free_port

    elsewhere = free_port()
    second = started(run, elsewhere)
    moved = [part.replace(f":{port}/", f":{elsewhere}/") for part in curl]
    assert moved != curl
    assert "simulated answer" in answer_to(moved)
    stop(second)


def test_with_a_key_of_anthropic_claude_models_lead_there_and_the_simulator_keeps_its_own_name(
    run: Run, port: int
) -> None:
    server = started(run, port, ANTHROPIC_API_KEY="sk-ant-for-a-test")
    export = run("export_config")
    assert export.result() == 0
    import yaml

    config = yaml.safe_load(export.text())
    providers = {route["name"]: [target["provider"] for target in route["targets"]] for route in config["routes"]}
    assert providers.pop("simulated") == ["simulated"]
    assert set(map(tuple, providers.values())) == {("anthropic",)}
    assert "sk-ant-for-a-test" not in server.text() + export.text()
    body = '{"model": "simulated", "max_tokens": 50, "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'
    assert "simulated answer" in answer_to([*curl_line(server.text())[:-1], body])
    stop(server)


def test_a_key_that_cannot_be_one_is_refused_in_words(run: Run, port: int) -> None:
    command = run("runserver", "--quickstart", str(port), ANTHROPIC_API_KEY="two words")
    assert command.result() == 1
    assert "api_key" in command.text()
    assert "Traceback" not in command.text()
    assert "two words" not in command.text()


def test_the_link_makes_one_administrator_and_works_once(run: Run, port: int) -> None:
    server = started(run, port)
    link = re.search(rf"http://127\.0\.0\.1:{port}/\S*first\S*", server.text())
    assert link
    assert submit(port, link[0], "ada@example.org") == 302
    assert submit(port, link[0], "eve@example.org") in {404, 410}
    stop(server)
    again = started(run, port)
    assert "administrator" not in again.text()
    stop(again)


def submit(port: int, link: str, email: str) -> int:
    """Opens the page behind a link, fills in its form as a browser does, and returns the status of what comes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", urlsplit(link).path)
    page = connection.getresponse()
    text = page.read().decode()
    if page.status != 200:
        return page.status
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', text)
    assert token
    cookie = (page.getheader("set-cookie") or "").partition(";")[0]
    secret = "a-long-enough-passphrase-7"
    form = {"csrfmiddlewaretoken": token[1], "email": email, "password": secret, "again": secret}
    headers = {"cookie": cookie, "content-type": "application/x-www-form-urlencoded"}
    connection.request("POST", urlsplit(link).path, urlencode(form), headers)
    return connection.getresponse().status


def test_without_the_option_nothing_is_loaded(run: Run, port: int) -> None:
    server = run("runserver", "--noreload", str(port))
    server.wait_for(READY)
    assert "curl" not in server.text()
    export = run("export_config")
    assert export.result() == 0
    assert "simulated" not in export.text()
    stop(server)


def test_the_autoreloader_prints_once(run: Run, port: int) -> None:
    server = run("runserver", str(port))
    server.wait_for(READY)
    assert server.text().count(READY) == 1
    server.process.send_signal(signal.SIGTERM)
    server.result(20)


@pytest.mark.parametrize("option", ["--quickstart", "--noreload"])
def test_a_database_that_is_not_migrated_is_one_line(run: Run, tmp_path: Path, port: int, option: str) -> None:
    command = run("runserver", option, str(port), GATEWAY_DATA_DIR=str(tmp_path / "fresh"))
    assert command.result() == 1
    assert "not migrated" in command.text()
    assert len(command.text().splitlines()) == 1
