"""The vendor's Python clients of the three formats, newest and last 0.x, on all nine pairs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anthropic
import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import bedrock, error, reply, vertex
from tests.formats.golden import PAIRS
from tests.harness import KEYS, Gateway, Record, wait_until
from tests.harness.formats import name_for
from tests.pairs import sdk_scenarios
from tests.pairs.clients import MOUNTS, Sdk, sdk_for
from tests.pairs.conftest import Upstreams
from tests.pairs.sdk_scenarios import SCENARIOS, failure_of, hello

ROOT = Path(__file__).resolve().parent.parent.parent
OLD_SDK = Path(sys.prefix) / "sdk0"


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_newest_sdk(scenario: Any, client: str, upstream: str, sdks: dict[str, Sdk], upstreams: Upstreams) -> None:
    assert int(anthropic.__version__.split(".")[0]) >= 2
    scenario(sdks[client], name_for(client, upstream), client, upstream)


@pytest.fixture(scope="module")
def old_outcome(running_gateway: Gateway, running_upstreams: tuple[Upstreams, Any, str]) -> dict[str, Any]:
    """What the last 0.x SDK did, in a process of its own; together with what the upstreams disliked about it."""
    if not OLD_SDK.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("the last 0.x SDK is not installed; `make setup-dev` does that")
        pytest.skip("the last 0.x SDK is not installed; `make setup-dev` does that")
    providers = running_upstreams[0].providers
    for provider in providers.values():
        provider.reset()
    done = subprocess.run(
        [sys.executable, "-m", "tests.pairs.sdk_scenarios", running_gateway.url, KEYS["main"]],
        env={"PYTHONPATH": f"{OLD_SDK}{os.pathsep}{ROOT}", "PATH": os.environ["PATH"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    result["violations"] = [text for provider in providers.values() for text in provider.violations]
    return result


@pytest.mark.parametrize("name", sdk_scenarios.NAMES)
def test_last_sdk_before_version_1(name: str, old_outcome: dict[str, Any]) -> None:
    assert old_outcome["version"].startswith("0.")
    assert old_outcome["outcome"][name] == ""


def test_last_sdk_before_version_1_left_nothing_to_complain_of(old_outcome: dict[str, Any]) -> None:
    assert old_outcome["violations"] == []


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_sdk_retries_what_the_upstream_was_too_busy_for(
    client: str, upstream: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    soon = [("retry-after", "0")]
    upstreams[upstream].script(
        *{
            ANTHROPIC: (
                reply(529, error("overloaded_error", "busy")),
                reply(429, error("rate_limit_error", "x"), soon),
            ),
            BEDROCK: (bedrock.failure(503, "busy"), bedrock.failure(429, "slow", headers=soon)),
            VERTEX: (vertex.failure(529, "busy"), vertex.failure(429, "Quota exceeded", headers=soon)),
        }[upstream]
    )
    with sdk_for(client, gateway.url + MOUNTS[client], max_retries=2) as sdk:
        assert sdk.messages.create(model=name_for(client, upstream), max_tokens=64, messages=hello()).content
    assert len(upstreams[upstream].received) == 3


@pytest.mark.parametrize("client", [ANTHROPIC, BEDROCK, VERTEX])
def test_sdk_asks_once_with_a_wrong_key(client: str, gateway: Gateway, upstreams: Upstreams) -> None:
    agent = {"User-Agent": f"wrong-key-{client}"}
    with sdk_for(client, gateway.url + MOUNTS[client], key="wrong", max_retries=3, default_headers=agent) as sdk:
        found = failure_of(lambda: sdk.messages.create(model=name_for(client, client), max_tokens=9, messages=hello()))
    assert isinstance(found, anthropic.AuthenticationError)
    assert found.response.headers["x-should-retry"] == "false"

    def asked() -> list[Record]:
        return [each for each in gateway.records(outcome="refused") if each["user_agent"] == agent["User-Agent"]]

    wait_until(lambda: any(each["request_id"] == found.request_id for each in asked()))
    assert len(asked()) == 1
    assert upstreams[client].received == []


def test_request_id_of_an_answer_is_that_of_its_record(sdks: dict[str, Sdk], gateway: Gateway) -> None:
    for client, upstream in PAIRS:
        answer = sdks[client].messages.create(model=name_for(client, upstream), max_tokens=64, messages=hello())
        record = gateway.record(answer._request_id)
        assert (record["client_format"], record["provider"]) == (client, upstream)
        assert record["tokens"]["input"] == answer.usage.input_tokens
        assert record["tokens"]["output"] == answer.usage.output_tokens
