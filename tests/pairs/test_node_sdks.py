"""The vendor's Node clients of the three formats on all nine pairs. `make e2e` installs them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.formats.golden import FORMATS
from tests.harness import KEYS, Gateway
from tests.harness.formats import name_for
from tests.pairs.conftest import Upstreams

FOLDER = Path(__file__).resolve().parent.parent / "e2e"
SCENARIOS = (
    *("create", "stream", "events", "tools", "thinking", "betas"),
    *("count", "errors", "unknownModel", "wrongKey"),
)
VIOLATIONS = "violations"


class Outcomes:
    """What each client did, in a process of its own, once: for each `scenario upstream` an empty text or what went wrong;
    and, by the name of `VIOLATIONS`, what the upstreams disliked about it."""

    def __init__(self, gateway: Gateway, upstreams: Upstreams) -> None:
        self._gateway = gateway
        self._upstreams = upstreams
        self._found: dict[str, dict[str, str]] = {}

    def of(self, client: str) -> dict[str, str]:
        if client not in self._found:
            self._found[client] = self._run(client)
        return self._found[client]

    def _run(self, client: str) -> dict[str, str]:
        models = {upstream: name_for(client, upstream) for upstream in FORMATS}
        providers = self._upstreams.providers.values()
        for provider in providers:
            provider.reset()
        done = subprocess.run(
            ["node", f"{client}.mjs", self._gateway.url, KEYS["main"], json.dumps(models)],
            cwd=FOLDER,
            env={"PATH": str(Path(shutil.which("node") or "node").parent)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        violations = "\n".join(text for provider in providers for text in provider.violations)
        found: dict[str, str] = json.loads(done.stdout)
        return {**found, VIOLATIONS: violations}


@pytest.fixture(scope="module")
def outcomes(running_gateway: Gateway, running_upstreams: tuple[Upstreams, Any, str]) -> Outcomes:
    return Outcomes(running_gateway, running_upstreams[0])


@pytest.fixture(scope="module")
def installed() -> None:
    if not (FOLDER / "node_modules" / "@anthropic-ai" / "sdk").is_dir() or shutil.which("node") is None:
        pytest.skip("the vendor's Node clients are not installed; `make e2e` does that (Node 20)")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("client", FORMATS)
@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_node_client(scenario: str, client: str, upstream: str, outcomes: Outcomes) -> None:
    assert outcomes.of(client)[f"{scenario} {upstream}"] == ""


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("client", FORMATS)
def test_node_client_left_nothing_to_complain_of(client: str, outcomes: Outcomes) -> None:
    found = outcomes.of(client)
    assert found.keys() == {f"{scenario} {upstream}" for scenario in SCENARIOS for upstream in FORMATS} | {VIOLATIONS}
    assert found[VIOLATIONS] == ""
