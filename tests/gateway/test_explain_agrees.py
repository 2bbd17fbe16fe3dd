"""Explain says beforehand what then really happens, for a thousand requests drawn at random."""

import http.client
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.fake_provider import FakeProvider
from tests.gateway.conftest import make_provider
from tests.harness import KEYS, Config, Gateway, Record, Template, alias, provider_entry, route, standard_config
from tests.harness import target as to

MAIN, SECOND = "anthropic-main", "anthropic-drain"
MODELS = (
    "claude-same",
    "claude-alias",
    "claude-spread",
    "claude-spread[1m]",
    "claude-conditions",
    "claude-tiers",
    "claude-lucky",
    "claude-forwarded",
    "claude-refused",
    "claude-nothing-left",
    "claude-pattern-7",
    "claude-spraed",
    "gpt-5",
)
CALLERS = ("main", "beta", "narrow", "disabled", "expired", "elsewhere", "personal")
FORMATS = ("anthropic", "bedrock", "vertex")
BETAS = ("context-1m-2025-08-07", "special-2026-01-01", "fine-grained-tool-streaming-2025-05-14")
REQUESTS = 1_000


def heavy(provider: str, model: str, weight: int, tier: int = 0) -> dict[str, Any]:
    return {**to(provider, model, tier), "weight": weight}


def config(url: str) -> Config:
    made = standard_config(url)
    off = {"enabled": False}
    made.providers += [provider_entry("anthropic-off", url, **off)]
    sticky = {"strategy": "weighted", "sticky": "session", "max_attempts": 1}
    spread = (heavy(MAIN, "spread-a", 3), heavy(SECOND, "spread-b", 2), heavy(MAIN, "spread-c", 1))
    made.routes += [
        route("spread", *spread, **sticky),
        route("lucky", *spread, strategy="weighted", max_attempts=1),
        route(
            "tiers", heavy("anthropic-off", "off", 5), heavy(MAIN, "first", 0), heavy(SECOND, "second", 1, 1), **sticky
        ),
        route("left", heavy("anthropic-off", "off", 1), max_attempts=1),
        route("for-beta", to(MAIN, "for-beta"), max_attempts=1),
        route("for-streams", to(MAIN, "for-streams"), max_attempts=1),
        route("for-thinkers", *spread[:2], **sticky),
        route(
            "conditions",
            to(SECOND, "for-all"),
            max_attempts=1,
            conditions=[
                {"when": {"team": "beta", "format": ["bedrock", "vertex"]}, "route": "for-beta"},
                {"when": {"field": "thinking"}, "route": "for-thinkers"},
                {"when": {"beta": "special-*"}, "route": "for-beta"},
                {"when": {"stream": True, "prompt_tokens_above": 100}, "route": "for-streams"},
            ],
        ),
    ]
    ends = {"from": "2026-01-01", "until": "2026-02-01"}
    made.aliases += [
        alias("claude-spread", "spread"),
        alias("claude-conditions", "conditions"),
        alias("claude-tiers", "tiers"),
        alias("claude-lucky", "lucky"),
        alias("claude-nothing-left", "left"),
        {**alias("claude-forwarded", "same"), "deprecation": {**ends, "successor": "claude-spread", "then": "forward"}},
        {**alias("claude-refused", "same"), "deprecation": {**ends, "successor": "claude-same", "then": "refuse"}},
    ]
    made.teams[1]["allowed_models"] += ["claude-conditions", "claude-forwarded", "claude-lucky"]
    made.teams[1]["budgets"] = [{"period": "total", "amount": "0.05"}]
    keys = {key["name"]: key for key in made.teams[0]["projects"][0]["keys"]}
    keys["personal"]["rate_limits"] = [{"requests_per_minute": 20}]
    keys["narrow"]["budgets"] = [{"period": "day", "amount": "0.002", "model": "claude-s*"}]
    return made


def drawn(chance: random.Random, number: int) -> dict[str, Any]:
    """One request, as `explain` is asked about it."""
    body: dict[str, Any] = {
        "max_tokens": 8,
        "messages": [{"role": "user", "content": "x" * chance.choice((5, 5, 2_000))}],
    }
    if chance.random() < 0.2:
        body["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        body["max_tokens"] = 2048
    return {
        "caller": chance.choices(CALLERS, (12, 4, 2, 1, 1, 1, 2))[0],
        "model": chance.choice(MODELS),
        "format": chance.choices(FORMATS, (3, 1, 1))[0],
        "stream": chance.random() < 0.4,
        "betas": chance.sample(BETAS, chance.choice((0, 0, 1, 2))),
        "session": f"session-{chance.randrange(200)}" if chance.random() < 0.8 else "",
        "body": body,
        "number": number,
    }


def sent(gateway: Gateway, drawn: dict[str, Any]) -> tuple[int, str]:
    """Sends it as a client of its format does; the status and the record's id."""
    content, headers, stream = dict(drawn["body"]), [], drawn["stream"]
    if drawn["session"]:
        headers.append(("x-claude-code-session-id", drawn["session"]))
    model = quote(drawn["model"], safe="")
    if drawn["format"] == "anthropic":
        path = "/v1/messages"
        content.update({"model": drawn["model"], **({"stream": True} if stream else {})})
    elif drawn["format"] == "bedrock":
        path = f"/bedrock/model/{model}/{'invoke-with-response-stream' if stream else 'invoke'}"
        content["anthropic_version"] = "bedrock-2023-05-31"
        if drawn["betas"]:
            content["anthropic_beta"] = drawn["betas"]
    else:
        verb = "streamRawPredict" if stream else "rawPredict"
        path = f"/vertex/v1/projects/p/locations/l/publishers/anthropic/models/{model}:{verb}"
        content["anthropic_version"] = "vertex-2023-10-16"
        if stream:
            content["stream"] = True
    if drawn["betas"] and drawn["format"] != "bedrock":
        headers.append(("anthropic-beta", ",".join(drawn["betas"])))
    answer = gateway.post(content, path, key=KEYS[drawn["caller"]], headers=headers)
    return answer.status, answer.value("request-id")


class Asker:
    """Asks the running gateway over one connection."""

    def __init__(self, gateway: Gateway) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        self._token = gateway.token

    def close(self) -> None:
        self._connection.close()

    def explain(self, drawn: dict[str, Any]) -> Any:
        asked = {name: drawn[name] for name in ("model", "format", "stream", "betas", "session", "body")}
        body = json.dumps({"key": KEYS[drawn["caller"]][:8], "client_ip": "127.0.0.1", **asked})
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        self._connection.request("POST", "/api/v1/explain/", body, headers)
        response = self._connection.getresponse()
        found = json.loads(response.read())
        assert response.status == 200, found
        return found


def disagreements(told: Any, record: Record, status: int) -> list[str]:
    """What explain had said otherwise."""
    found = []
    expected = {
        "status": status,
        "reason": None if status == 200 else record["reason"],
    }
    found += [f"{name}: {told[name]!r}, not {value!r}" for name, value in expected.items() if told[name] != value]
    if status != 200:
        return found
    where = (record["provider"], record["upstream_model"])
    first = [each for each in told["candidates"] if each["score"] is not None]
    chosen = [(each["provider"], each["model"]) for each in first if each["chosen"]]
    possible = [(each["provider"], each["model"]) for each in first] if told["by_chance"] else chosen
    if where not in possible:
        found.append(f"target: {possible}, not {where}")
    removed = sorted(each["name"] for each in told["betas"] if each["action"] == "removed")
    if removed != sorted(record["betas_removed"]):
        found.append(f"betas removed: {removed}, not {record['betas_removed']}")
    if told["price"]["id"] != record["price"]["id"]:
        found.append(f"price: {told['price']}, not {record['price']}")
    return found


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeProvider]:
    with make_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def own(template: Template, upstream: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("explain")
    with Gateway(template, folder, config(upstream.url)) as gateway:
        yield gateway


def test_a_thousand_random_requests_go_where_explain_said(own: Gateway, upstream: FakeProvider) -> None:
    chance = random.Random(20261125)
    told: dict[str, tuple[dict[str, Any], Any, int]] = {}
    with closing(Asker(own)) as asker:
        for number in range(REQUESTS):
            request = drawn(chance, number)
            explained = asker.explain(request)
            status, request_id = sent(own, request)
            told[request_id] = (request, explained, status)
    records = {record["request_id"]: record for record in own.wait_records(REQUESTS, timeout=20)}
    wrong = [
        (request, found, request_id)
        for request_id, (request, explained, status) in told.items()
        if (found := disagreements(explained, records[request_id], status))
    ]
    # A minute's window can move on between the two questions, in this one direction.
    freed = [each for each in wrong if told[each[2]][1]["reason"] == "rate_limited" and told[each[2]][2] == 200]
    assert len(freed) <= 3
    wrong = [each for each in wrong if each not in freed]
    assert not wrong, f"{len(wrong)} of {REQUESTS}: {str(wrong[:3])[:3000]}"
    outcomes = Counter(explained["reason"] for _, explained, _ in told.values())
    assert outcomes[None] > REQUESTS / 3, "most of what is asked should be served"
    expected = {"unknown_model", "model_not_allowed", "disabled", "expired", "retired_model", "no_target"}
    assert expected | {"budget_exceeded", "rate_limited"} <= set(outcomes)
