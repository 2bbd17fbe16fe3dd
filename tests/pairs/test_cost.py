"""The table of usage and its cost, through the running gateway on every pair of formats, as an answer and as a stream."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_google import FakeGoogle
from tests.fake_provider import Answer, bedrock, reply, sse, stream, vertex
from tests.fake_provider.bedrock import streamed as amazon_stream
from tests.formats.golden import PAIRS
from tests.gateway.bodies import message
from tests.harness import Gateway, Template
from tests.harness.config import Config, Entry, alias, provider_entry, route, standard_teams
from tests.harness.config import target as to
from tests.harness.formats import bedrock_entry, environment, vertex_entry
from tests.money.usage_cases import ADVISER, CASES, NOBODY, PLAIN, PRICES, SECOND, TINY, UNKNOWN_PRICE, Case
from tests.pairs.clients import begin_plainly, plain
from tests.pairs.conftest import Upstreams

MODELS = (PLAIN, ADVISER, SECOND, NOBODY, TINY)
LATE = ("iterations", "output_tokens_details", "server_tool_use")  # what a stream tells at its end
ASK = {"max_tokens": 16, "messages": [{"role": "user", "content": "hello"}]}


def called(upstream: str, model: str) -> str:
    """What an upstream calls the model."""
    if upstream == BEDROCK:
        return f"us.anthropic.claude-{model}-1-20260101-v1:0"
    return f"claude-{model}-1@20260101" if upstream == VERTEX else f"claude-{model}-1-20260101"


def config_of(upstreams: Upstreams, key_json: str) -> Config:
    providers: list[Entry] = [
        provider_entry(ANTHROPIC, upstreams[ANTHROPIC].url),
        bedrock_entry(BEDROCK, upstreams[BEDROCK].url),
        vertex_entry(VERTEX, upstreams[VERTEX].url, upstreams.vertex.project),
    ]
    pairs = [(model, upstream) for model in MODELS for upstream in (ANTHROPIC, BEDROCK, VERTEX)]
    return Config(
        providers,
        [
            route(f"{model}-{upstream}", to(upstream, called(upstream, model)), max_attempts=1)
            for model, upstream in pairs
        ],
        [alias(f"claude-{model}-{upstream}", f"{model}-{upstream}") for model, upstream in pairs],
        standard_teams(),
        environment(key_json),
        prices=PRICES,
        unknown_model_price=UNKNOWN_PRICE,
    )


@pytest.fixture(scope="module")
def priced_gateway(
    template: Template,
    running_upstreams: tuple[Upstreams, FakeGoogle, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    upstreams, _, key_json = running_upstreams
    with Gateway(template, tmp_path_factory.mktemp("priced"), config_of(upstreams, key_json)) as gateway:
        yield gateway


def events_of(case: Case) -> list[dict[str, Any]]:
    """The stream that reports what the case says."""
    reports = case.reports
    if case.usage is not None:
        start = {name: value for name, value in case.usage.items() if name not in LATE}
        start["output_tokens"] = min(1, case.usage["output_tokens"])
        end = {name: case.usage[name] for name in ("output_tokens", *LATE) if name in case.usage}
        reports = (start, end)
    begun = {**message(f"claude-{case.model}-1"), "content": [], "stop_reason": None, "usage": reports[0]}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}
    return [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        delta,
        {"type": "content_block_stop", "index": 0},
        *(
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, **({} if each is None else {"usage": each})}
            for each in reports[1:]
        ),
        {"type": "message_stop"},
    ]


def answer_of(upstream: str, case: Case, *, streamed: bool) -> Answer:
    if not streamed:
        body = message(f"claude-{case.model}-1", usage=case.usage)
        return {ANTHROPIC: reply(200, body), BEDROCK: bedrock.whole(body), VERTEX: vertex.whole(body)}[upstream]
    events = json.loads(json.dumps(events_of(case)))
    if upstream == BEDROCK:
        return amazon_stream(events)
    return vertex.streamed(events) if upstream == VERTEX else stream(*map(sse, events))


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_every_case_costs_what_was_worked_out_by_hand(
    client: str, upstream: str, priced_gateway: Gateway, upstreams: Upstreams
) -> None:
    asked: dict[str, tuple[Case, bool]] = {}
    with priced_gateway.client() as connection:
        for case in CASES:
            for streamed in [True] if case.usage is None else [False, True]:
                upstreams[upstream].script(answer_of(upstream, case, streamed=streamed))
                path, body = plain(client, f"claude-{case.model}-{upstream}", ASK, stream=streamed)
                begin_plainly(connection, path, body)
                answer = connection.reply()
                assert answer.status == 200, (case.name, answer.body)
                asked[answer.value("request-id")] = (case, streamed)
    assert len(asked) >= 120
    records = priced_gateway.wait_records(len(asked), client_format=client, provider=upstream)
    wrong = []
    for record in records:
        case, streamed = asked[record["request_id"]]
        found = (record["cost_usd"], record["estimated"], record["price"]["band"])
        wanted = (f"{Decimal(case.cost):.12f}", case.estimated, case.band)
        if found != wanted:
            wrong.append((case.name, "stream" if streamed else "answer", found, wanted))
    assert wrong == []


def test_models_without_a_price_are_listed(priced_gateway: Gateway, upstreams: Upstreams) -> None:
    path, body = plain(ANTHROPIC, f"claude-{NOBODY}-{ANTHROPIC}", ASK)
    with priced_gateway.client() as connection:
        begin_plainly(connection, path, body)
        record = priced_gateway.record(connection.reply().value("request-id"))
    assert record["price"]["id"] is None
    assert Decimal(record["cost_usd"]) > 0
