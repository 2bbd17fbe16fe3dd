"""The vendor's Python SDK, newest and last 0.x, works against the gateway as against the vendor."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.fake_provider import FakeProvider, error, reply
from tests.gateway import sdk_scenarios
from tests.gateway.sdk_scenarios import MODEL, SCENARIOS, hello
from tests.harness import KEYS, Gateway

ROOT = Path(__file__).resolve().parent.parent.parent
OLD_SDK = Path(sys.prefix) / "sdk0"


@pytest.fixture
def sdk(gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key=KEYS["main"], max_retries=0, timeout=20) as client:
        yield client


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_newest_sdk(scenario: Callable[[anthropic.Anthropic], None], sdk: anthropic.Anthropic) -> None:
    assert int(anthropic.__version__.split(".")[0]) >= 2
    scenario(sdk)


@pytest.fixture(scope="module")
def old_outcome(shared_gateway: Gateway, first_provider: FakeProvider) -> dict[str, Any]:
    """What the last 0.x SDK did, in a process of its own; together with what the provider disliked about it."""
    if not OLD_SDK.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("the last 0.x SDK is not installed; `make setup-dev` does that")
        pytest.skip("the last 0.x SDK is not installed; `make setup-dev` does that")
    first_provider.reset()
    done = subprocess.run(
        [sys.executable, "-m", "tests.gateway.sdk_scenarios", shared_gateway.url, KEYS["main"]],
        env={"PYTHONPATH": f"{OLD_SDK}{os.pathsep}{ROOT}", "PATH": os.environ["PATH"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    result["violations"] = list(first_provider.violations)
    return result


@pytest.mark.parametrize("name", [scenario.__name__ for scenario in SCENARIOS])
def test_last_sdk_before_version_1(name: str, old_outcome: dict[str, Any]) -> None:
    assert old_outcome["version"].startswith("0.")
    assert old_outcome["outcome"][name] == ""


def test_last_sdk_before_version_1_left_nothing_to_complain_of(old_outcome: dict[str, Any]) -> None:
    assert old_outcome["violations"] == []


def test_sdk_retries_what_the_upstream_was_too_busy_for(gateway: Gateway, provider: FakeProvider) -> None:
    provider.script(
        reply(529, error("overloaded_error", "busy")),
        reply(429, error("rate_limit_error", "slow"), [("retry-after", "0")]),
    )
    with anthropic.Anthropic(base_url=gateway.url, api_key=KEYS["main"], max_retries=2) as client:
        message = client.messages.create(model=MODEL, max_tokens=64, messages=hello())
    assert message.content
    assert len(provider.received) == 3


def test_sdk_asks_once_with_a_wrong_key(gateway: Gateway) -> None:
    session = str(uuid.uuid4())
    with (
        anthropic.Anthropic(base_url=gateway.url, api_key="wrong", max_retries=4) as client,
        pytest.raises(anthropic.AuthenticationError),
    ):
        client.messages.create(
            model=MODEL, max_tokens=64, messages=hello(), extra_headers={"x-claude-code-session-id": session}
        )
    assert len(gateway.wait_records(1, session_id=session)) == 1


def test_beta_values_of_the_sdk_arrive_as_written(sdk: anthropic.Anthropic, provider: FakeProvider) -> None:
    sdk_scenarios.betas(sdk)
    assert provider.received[-1].value("anthropic-beta") == "context-1m-2025-08-07,not-yet-known-2027-01-01"


def test_async_sdk_streams(gateway: Gateway) -> None:
    async def run() -> str:
        async with (
            anthropic.AsyncAnthropic(base_url=gateway.url, api_key=KEYS["main"]) as client,
            client.messages.stream(model=MODEL, max_tokens=64, messages=hello("a b c")) as stream,
        ):
            return "".join([text async for text in stream.text_stream])

    import asyncio

    assert asyncio.run(run()) == "You said: a b c"
