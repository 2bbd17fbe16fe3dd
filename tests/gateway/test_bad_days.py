"""Targets that fail, fill up or are slow under load: breakers, the retry budget, limits, deadlines, as clients feel them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fake_provider import Die, FakeProvider, Gate, Hang, Repeat, error, raw, reply, stream
from tests.gateway.bodies import BLOCK, START, WHOLE, ask, assert_error, delta, message
from tests.gateway.conftest import OwnGateway
from tests.gateway.load import Load, wait_for
from tests.harness import Config, Reply, alias, route, send, standard_config, target, wait_until

MAIN = "anthropic-main"
COOLDOWN = 1
DOWN = reply(500, error("api_error", "down"))


def served_by(*models: str, **settings: object) -> Callable[[str], Config]:
    """The standard configuration with `claude-same` on these models of one provider."""

    def make(url: str) -> Config:
        config = standard_config(url)
        kept = [entry for entry in config.routes if entry["name"] != "same"]
        config.routes = [route("same", *(target(MAIN, model) for model in models), **settings), *kept]
        return config

    return make


def called(provider: FakeProvider, model: str) -> int:
    return sum(request.json["model"] == model for request in list(provider.received))


def test_one_of_three_targets_fails_and_clients_hardly_notice(own_gateway: OwnGateway) -> None:
    settings = {"strategy": "weighted", "cooldown": COOLDOWN, "breaker": {"failures": 5, "window": 30}}
    with own_gateway(served_by("m1", "m2", "m3", **settings)) as (gateway, provider), Load(gateway, 12) as account:
        wait_for(account, 200)
        provider.on_model("m2", DOWN)
        failed_at = called(provider, "m2")
        wait_until(lambda: called(provider, "m2") > failed_at + 4, what="five failures")
        before = (len(account.answered), len(account.refused))
        wait_for(account, before[0] + 1000)
        count, errors = len(account.answered) - before[0], len(account.refused) - before[1]
        assert errors * 100 < count, account.refused[-3:]
        tries = called(provider, "m2") - failed_at
        assert tries < 5 + 12 + 10 * COOLDOWN  # those under way when it opened, and a probe for each cooldown
        provider.on_model("m2", lambda request: reply(200, message("m2")) if not request.json.get("stream") else STREAM)
        recovered, probes = time.monotonic(), called(provider, "m2")
        wait_until(lambda: called(provider, "m2") > probes, timeout=10)
        assert time.monotonic() - recovered < 2 * COOLDOWN
        wait_until(lambda: called(provider, "m2") > probes + 5, timeout=10, what="its share of the requests")
    assert account.broken == []


STREAM = stream(*WHOLE)


def test_a_half_open_breaker_sends_one_probe_however_many_ask(own_gateway: OwnGateway) -> None:
    settings = {"cooldown": COOLDOWN, "breaker": {"failures": 1, "window": 30}, "max_attempts": 2}
    with own_gateway(served_by("m1", "m2", **settings)) as (gateway, provider):
        provider.on_model("m1", DOWN)
        assert gateway.post(ask()).status == 200
        gate = Gate()
        provider.on_model("m1", reply(200, message("m1")).after(gate))
        probes = called(provider, "m1")
        with Load(gateway, 8, pause=0.02) as account:  # one of them becomes the probe, and waits
            wait_until(gate.reached.is_set, what="a probe")
            wait_for(account, len(account.answered) + 50)
            assert called(provider, "m1") == probes + 1
            gate.open()
            wait_until(lambda: called(provider, "m1") > probes + 5, what="the breaker closed")
        assert {status for status, _ in account.refused} <= {200}  # whole answers where a stream was asked for


def test_a_full_outage_is_not_multiplied_by_retries(own_gateway: OwnGateway) -> None:
    with own_gateway(served_by("m1", "m2", "m3", max_attempts=3)) as (gateway, provider):
        for model in ("m1", "m2", "m3"):
            provider.on_model(model, DOWN)

        def post(_: int) -> Reply:
            return gateway.post(ask())

        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(post, range(300)))
        assert {answer.status for answer in answers} == {500}
        assert len(provider.received) <= 300 + 60 + 30
        assert len(provider.received) > 300
        reasons = {gateway.record(answer.value("request-id"))["reason"] for answer in answers[-20:]}
        assert "retry_budget" in reasons
        assert assert_error(answers[-1], 500, "api_error") == "down"


def test_a_full_target_is_passed_over(own_gateway: OwnGateway) -> None:
    def make(url: str) -> Config:
        config = served_by("m1", "m2")(url)
        config.routes[0]["targets"][0]["max_concurrent"] = 1
        config.routes.append(route("narrow", {**target(MAIN, "m1"), "max_concurrent": 1}))
        config.aliases.append(alias("claude-narrow", "narrow"))
        return config

    with own_gateway(make) as (gateway, provider), gateway.client() as client:
        gate = Gate()
        provider.on_model("m1", stream(START, BLOCK, delta("one"), gate, delta("two"), *WHOLE[4:]))
        send(client, ask(stream=True))
        client.head()
        client.until(delta("one"))
        assert gateway.post(ask()).json["model"] == "m2"
        refused = gateway.post(ask(model="claude-narrow"))
        assert_error(refused, 529, "overloaded_error")
        assert refused.value("retry-after") == "1"
        assert called(provider, "m1") == 1
        gate.open()
        client.rest()
        provider.on_model("m1", reply(200, message("m1")))
        assert gateway.post(ask(model="claude-narrow")).status == 200


def test_the_deadline_ends_calls_and_waits(own_gateway: OwnGateway) -> None:
    with own_gateway(served_by("m1", "m2", deadline=0.6, max_attempts=5)) as (gateway, provider):
        provider.on_model("m1", raw(Hang()))
        begin = time.monotonic()
        answer = gateway.post(ask())
        assert 0.5 < time.monotonic() - begin < 3
        assert_error(answer, 504, "timeout_error")
        record = gateway.record(answer.value("request-id"))
        assert (record["reason"], len(record["attempts"])) == ("deadline", 1)
        assert called(provider, "m2") == 0


def test_a_wait_that_the_deadline_does_not_allow_is_not_begun(own_gateway: OwnGateway) -> None:
    with own_gateway(served_by("m1", deadline=0.5)) as (gateway, provider):
        provider.on_model("m1", reply(429, error("rate_limit_error", "slow down"), [("retry-after", "2")]))
        answer = gateway.post(ask())
        assert assert_error(answer, 429, "rate_limit_error") == "slow down"
        record = gateway.record(answer.value("request-id"))
        assert (record["reason"], len(record["attempts"])) == ("deadline", 1)
        assert record["duration_ms"] < 1000


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_refused_for_its_content_is_never_sent_again_though_the_route_says_so(
    status: int, own_gateway: OwnGateway
) -> None:
    with own_gateway(served_by("m1", "m2", retry_on=[400, 413, 422, 500])) as (gateway, provider):
        provider.on_model("m1", reply(status, error("invalid_request_error", "no")))
        assert gateway.post(ask()).status == status
        assert len(provider.received) == 1


def test_a_long_rest_keeps_other_requests_away_too(own_gateway: OwnGateway) -> None:
    with own_gateway(served_by("m1", "m2")) as (gateway, provider):
        provider.on_model("m1", reply(429, error("rate_limit_error", "slow down"), [("retry-after", "30")]))
        assert [gateway.post(ask()).json["model"] for _ in range(5)] == ["m2"] * 5
        assert called(provider, "m1") == 1


def test_streams_that_die_open_the_breaker(own_gateway: OwnGateway) -> None:
    settings = {"breaker": {"failures": 2, "window": 30}, "cooldown": 60}
    with own_gateway(served_by("m1", "m2", **settings)) as (gateway, provider):
        provider.on_model("m1", stream(START, BLOCK, delta("x"), Die("reset")))
        provider.on_model("m2", stream(*WHOLE))
        bodies = [gateway.post(ask(stream=True)).body for _ in range(3)]
        assert [b"event: error" in body for body in bodies] == [True, True, False]


def test_clients_that_leave_open_nothing(own_gateway: OwnGateway) -> None:
    settings = {"breaker": {"failures": 1, "window": 30}, "cooldown": 60}
    with own_gateway(served_by("m1", "m2", **settings)) as (gateway, provider):
        provider.on_model("m1", stream(START, BLOCK, delta("x"), Hang()))
        for count in range(3):
            with gateway.client() as client:
                send(client, ask(stream=True))
                client.head()
                client.until(delta("x"))
                client.leave()
            provider.wait_closed(provider.received[count])
        gateway.wait_records(3, outcome="client_left")
        assert called(provider, "m1") == 3


def test_a_refused_credential_of_ours_opens_the_breaker(own_gateway: OwnGateway) -> None:
    settings = {"breaker": {"failures": 2, "window": 30}, "cooldown": 60, "retry_on": [401]}
    with own_gateway(served_by("m1", "m2", **settings)) as (gateway, provider):
        provider.on_model("m1", reply(401, error("authentication_error", "invalid x-api-key")))
        assert [gateway.post(ask()).status for _ in range(4)] == [200] * 4
        assert called(provider, "m1") == 2


def test_an_error_whose_text_comes_in_drops_keeps_nobody_waiting(own_gateway: OwnGateway) -> None:
    head = b"HTTP/1.1 500 Any Reason\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n"
    with own_gateway(served_by("m1", "m2", max_attempts=2)) as (gateway, provider):
        provider.on_model("m1", raw(head, Repeat(b" ", pace=0.1)))
        begin = time.monotonic()
        assert gateway.post(ask()).json["model"] == "m2"
        assert time.monotonic() - begin < 8
        assert provider.wait_closed(provider.received[0])
