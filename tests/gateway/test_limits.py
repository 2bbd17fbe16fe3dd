"""Budgets and rate limits as callers meet them, on the running gateway."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.fake_provider import FakeProvider, Hang, Pause, reply, stream
from tests.gateway.bodies import BLOCK, START, WHOLE, ask, assert_error, delta, message
from tests.gateway.conftest import OwnGateway
from tests.harness import KEYS, Config, Gateway, Reply, send, standard_config, wait_until

COST = Decimal("0.00054")  # of an answer of these tests: 11 tokens in, 5 out, at the price of an unknown model


def limited(url: str, **limits: Any) -> Config:
    """The standard configuration with limits of the keys `main` and `beta`, and of `organization`."""
    config = standard_config(url)
    config.organization = limits.pop("organization", {})
    for team in config.teams:
        for project in team["projects"]:
            for key in project.get("keys", []):
                key.update(limits.get(key["name"], {}))
    return config


@contextmanager
def gateway_with(
    own: OwnGateway, environment: dict[str, str] | None = None, **limits: Any
) -> Iterator[tuple[Gateway, FakeProvider]]:
    with own(lambda url: limited(url, **limits), environment=environment or {}) as (gateway, provider):
        provider.on_model("claude-same", reply(200, message()))
        yield gateway, provider


def budgets(gateway: Gateway) -> list[dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    connection.request("GET", "/api/v1/budgets/", headers={"authorization": f"Bearer {gateway.token}"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    found: list[dict[str, Any]] = answer["results"]
    return found


def daily(amount: str, **fields: Any) -> dict[str, Any]:
    return {"budgets": [{"amount": amount, "period": "day", **fields}]}


def test_a_budget_stops_with_what_ran_out_when_it_resets_and_what_to_do(own_gateway: OwnGateway) -> None:
    environment = {"GATEWAY_PUBLIC_URL": "http://gateway.example.com"}
    with gateway_with(own_gateway, environment, main=daily("0.0005")) as (gateway, provider):
        assert gateway.post(ask()).status == 200
        stopped = gateway.post(ask())
        text = assert_error(stopped, 429, "billing_error")
        midnight = (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        assert "The budget of the key alpha/one/main today, $0.0005, is used up." in text
        assert f"It begins anew on {midnight:%A}, {midnight.day} {midnight:%B %Y} at 00:00 (UTC)." in text
        (budget,) = budgets(gateway)
        assert text.endswith(f"http://gateway.example.com/limits/ask?budget={budget['id']}")
        assert stopped.value("x-should-retry") == "false"
        assert abs(int(stopped.value("retry-after")) - (midnight - datetime.now(UTC)).total_seconds()) < 5
        unified = "anthropic-ratelimit-unified-"
        assert stopped.value(unified + "status") == "rejected"
        assert (
            stopped.value(unified + "reset")
            == stopped.value(unified + "overage-reset")
            == str(int(midnight.timestamp()))
        )
        assert stopped.value(unified + "overage-disabled-reason") == "org_spend_cap_reached"
        assert not stopped.value(unified + "representative-claim")
        assert not stopped.value(unified + "overage-status")
        record = gateway.record(stopped.value("request-id"))
        assert (record["outcome"], record["reason"], record["attempts"]) == ("refused", "budget_exceeded", [])
        assert len(provider.received) == 1


def test_the_text_of_a_stop_names_the_amount_as_it_is(own_gateway: OwnGateway) -> None:
    with gateway_with(own_gateway, main=daily("0.010005")) as (gateway, _):
        replies = [gateway.post(ask()) for _number in range(20)]
        assert "today, $0.010005, " in assert_error(replies[-1], 429, "billing_error")


def test_the_same_stop_in_the_other_formats(own_gateway: OwnGateway) -> None:
    with gateway_with(own_gateway, main=daily("0.0005")) as (gateway, _):
        assert gateway.post(ask()).status == 200
        body = {"max_tokens": 9, "messages": ask()["messages"]}
        bedrock = gateway.post({**body, "anthropic_version": "bedrock-2023-05-31"}, "/model/claude-same/invoke")
        assert (bedrock.status, bedrock.value("x-amzn-errortype")) == (429, "ThrottlingException")
        assert bedrock.json["error"]["type"] == "billing_error"
        assert bedrock.json["message"] == bedrock.json["error"]["message"]
        path = "/v1/projects/p/locations/l/publishers/anthropic/models/claude-same:rawPredict"
        vertex = gateway.post({**body, "anthropic_version": "vertex-2023-10-16"}, path)
        assert_error(vertex, 429, "billing_error")
        for refused in (bedrock, vertex):
            assert refused.value("x-should-retry") == "false"
            assert int(refused.value("retry-after")) > 0


def test_counting_tokens_is_never_stopped_by_a_budget(own_gateway: OwnGateway) -> None:
    used_up = {**daily("0.0005"), "rate_limits": [{"requests_per_minute": 1}]}
    with gateway_with(own_gateway, main=used_up) as (gateway, _):
        assert gateway.post(ask()).status == 200
        assert gateway.post(ask()).status == 429
        body = {"model": "claude-same", "messages": ask()["messages"]}
        counted = gateway.post(body, "/v1/messages/count_tokens")
        assert counted.status == 200
        assert (counted.value("anthropic-ratelimit-requests-limit"), counted.value("retry-after")) == ("600", "")
        assert gateway.get("/v1/models").status == 200


def test_a_rate_limit_refuses_with_the_true_wait_and_says_how_it_stands(own_gateway: OwnGateway) -> None:
    limits = {"rate_limits": [{"requests_per_minute": 3}, {"input_tokens_per_minute": 100_000}]}
    with gateway_with(own_gateway, main=limits) as (gateway, _):
        left = []
        for _number in range(3):
            served = gateway.post(ask())
            assert served.status == 200
            left.append(served.value("anthropic-ratelimit-requests-remaining"))
        assert left == ["2", "1", "0"]
        assert served.value("anthropic-ratelimit-requests-limit") == "3"
        assert served.value("anthropic-ratelimit-input-tokens-limit") == "100000"
        assert served.value("anthropic-ratelimit-tokens-limit") == "100000"
        reset = datetime.fromisoformat(served.value("anthropic-ratelimit-requests-reset"))
        assert timedelta(seconds=50) < reset - datetime.now(UTC) <= timedelta(seconds=62)
        refused = gateway.post(ask())
        text = assert_error(refused, 429, "rate_limit_error")
        assert "3 requests per minute" in text
        assert 50 <= int(refused.value("retry-after")) <= 60
        assert refused.value("anthropic-ratelimit-requests-remaining") == "0"
        assert not refused.value("x-should-retry")
        record = gateway.record(refused.value("request-id"))
        assert (record["outcome"], record["reason"]) == ("refused", "rate_limited")
        assert gateway.post(ask(), key=KEYS["narrow"]).status == 200  # another key's limit is another key's


def test_so_many_streams_run_at_a_time(own_gateway: OwnGateway) -> None:
    with gateway_with(own_gateway, main={"rate_limits": [{"concurrent_streams": 1}]}) as (gateway, provider):
        provider.script(stream(START, BLOCK, delta("x"), Hang()))
        with gateway.client() as client:
            send(client, ask(stream=True))
            client.head()
            client.until(delta("x"))
            refused = gateway.post(ask(stream=True))
            assert_error(refused, 429, "rate_limit_error")
            assert refused.value("retry-after") == "1"
            assert gateway.record(refused.value("request-id"))["reason"] == "too_many_concurrent"
            assert gateway.post(ask()).status == 200
            client.leave()
        provider.script(stream(*WHOLE))
        wait_until(lambda: gateway.post(ask(stream=True)).status == 200, what="the slot to be given back")


def test_one_after_the_other_never_meets_a_limit_of_one_at_a_time(own_gateway: OwnGateway) -> None:
    limits = {"rate_limits": [{"concurrent_requests": 1}]}
    with gateway_with(own_gateway, main=limits) as (gateway, _), gateway.client() as client:
        for _number in range(30):
            send(client, ask())
            assert client.reply().status == 200


def test_successes_say_how_the_budget_stands(own_gateway: OwnGateway) -> None:
    with gateway_with(own_gateway, main=daily("0.001", soft=[50])) as (gateway, _):
        first, second = gateway.post(ask()), gateway.post(ask())
        unified = "anthropic-ratelimit-unified-"
        assert (first.value(unified + "status"), second.value(unified + "status")) == ("allowed", "allowed_warning")
        assert second.value(unified + "overage-utilization") == "0.5400"
        assert second.value(unified + "overage-surpassed-threshold") == "0.50"
        assert second.value(unified + "reset")


def test_what_was_spent_survives_a_restart_and_a_changed_amount(own_gateway: OwnGateway) -> None:
    with gateway_with(own_gateway, main=daily("0.001")) as (gateway, _):
        assert gateway.post(ask()).status == 200
        gateway.restart()
        (budget,) = budgets(gateway)
        assert (budget["spent"], budget["reserved"], budget["amount"]) == (str(COST), "0", "0.001")
        assert gateway.post(ask()).status == 200
        assert gateway.post(ask()).status == 429
        more = limited(gateway.config.providers[0]["base_url"], main=daily("1"))
        gateway.import_config(more)
        wait_until(lambda: gateway.post(ask()).status == 200, what="the new amount")
        (budget,) = budgets(gateway)
        assert Decimal(budget["spent"]) == COST * 3
        assert budget["scope"] == {"type": "key", "id": budget["scope"]["id"], "name": "alpha/one/main"}
        assert Decimal(budget["remaining"]) == 1 - COST * 3


def test_what_was_spent_survives_a_kill_and_is_there_with_the_first_answer(own_gateway: OwnGateway) -> None:
    with gateway_with(own_gateway, main=daily(str(COST * 5))) as (gateway, _):
        for _number in range(5):
            assert gateway.post(ask()).status == 200
        gateway.kill9()
        gateway.start()
        assert gateway.post(ask()).status == 429
        assert [budget["spent"] for budget in budgets(gateway)] == [f"{(COST * 5).normalize():f}"]


def test_limits_of_the_organization_count_for_everybody(own_gateway: OwnGateway) -> None:
    with gateway_with(own_gateway, organization=daily("0.0005")) as (gateway, _):
        assert gateway.post(ask()).status == 200
        text = assert_error(gateway.post(ask(), key=KEYS["beta"]), 429, "billing_error")
        assert "The budget of the organization today" in text


def test_300_requests_at_once_against_a_budget_for_40(own_gateway: OwnGateway) -> None:
    with gateway_with(own_gateway, main=daily(str(COST * 40))) as (gateway, provider):
        provider.on_model("claude-same", reply(200, message()).after(Pause(0.05)))
        replies = at_once(gateway, 300)
        assert {each.status for each in replies} == {200, 429}
        assert sum(each.status == 200 for each in replies) == 40
        (budget,) = budgets(gateway)
        assert (Decimal(budget["spent"]), budget["reserved"], budget["remaining"]) == (COST * 40, "0", "0")


def test_a_storm_of_clients_that_leave_leaves_nothing_reserved(own_gateway: OwnGateway) -> None:
    limits = {**daily("100"), "rate_limits": [{"concurrent_requests": 100}]}
    with gateway_with(own_gateway, main=limits) as (gateway, provider):
        provider.on_model("claude-same", stream(START, BLOCK, Pause(0.02), *[delta("some text")] * 20, Hang()))
        for round_ in range(60):
            with gateway.client() as client:
                send(client, ask(stream=True))
                if round_ % 3:
                    client.head()
                if round_ % 2:
                    client.piece()
                client.leave(reset=round_ % 5 == 0)
        wait_until(lambda: budgets(gateway)[0]["reserved"] == "0", what="everything to be given back")
        provider.on_model("claude-same", reply(200, message()))
        assert all(each.status == 200 for each in at_once(gateway, 100))
        spent = sum(Decimal(record["tokens"]["input"]) for record in gateway.records())
        assert spent > 0


def at_once(gateway: Gateway, count: int) -> list[Reply]:
    replies: list[Reply] = []

    def one() -> None:
        with gateway.client(timeout=60) as client:
            send(client, ask())
            replies.append(client.reply())

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert len(replies) == count
    return replies


def test_batches_are_begun_only_while_there_is_a_budget(own_gateway: OwnGateway) -> None:
    with gateway_with(own_gateway, main=daily("0.0005")) as (gateway, provider):
        params = {"model": "claude-same", "max_tokens": 5, "messages": ask()["messages"]}
        batch = {"requests": [{"custom_id": "a", "params": params}]}
        assert gateway.post(batch, "/v1/messages/batches").status == 404  # this provider keeps no batches
        assert gateway.post(ask()).status == 200
        received = len(provider.received)
        assert_error(gateway.post(batch, "/v1/messages/batches"), 429, "billing_error")
        assert len(provider.received) == received
