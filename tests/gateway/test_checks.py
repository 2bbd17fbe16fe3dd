"""Active health checks: only where they are asked for, only without traffic, always on record."""

from collections.abc import Callable

from tests.fake_provider import FakeProvider, error, reply
from tests.gateway.bodies import ask, message
from tests.gateway.conftest import OwnGateway
from tests.harness import Config, Gateway, Record, route, standard_config, target, wait_until

MAIN = "anthropic-main"
DOWN = reply(500, error("api_error", "down"))


def checked(interval: int) -> Callable[[str], Config]:
    def make(url: str) -> Config:
        config = standard_config(url)
        if interval:
            config.providers[0]["check"] = {"interval": interval, "model": "m1"}
        settings = {"breaker": {"failures": 1, "window": 30}, "cooldown": 1}
        config.routes[0] = route("same", target(MAIN, "m1"), target(MAIN, "m2"), **settings)
        return config

    return make


def called(provider: FakeProvider, model: str) -> int:
    return sum(request.json["model"] == model for request in list(provider.received))


def checks(gateway: Gateway) -> list[Record]:
    return [record for record in gateway.records() if record["reason"] == "health_check"]


def test_a_broken_target_is_found_sound_again_without_a_client(own_gateway: OwnGateway) -> None:
    with own_gateway(checked(3600)) as (gateway, provider):
        provider.on_model("m1", DOWN)
        assert gateway.post(ask()).status == 200
        assert called(provider, "m2") == 1
        wait_until(lambda: called(provider, "m1") >= 2, what="a check while it is down")
        provider.on_model("m1", reply(200, message("m1")))
        wait_until(lambda: called(provider, "m1") >= 3, what="a check after it is back")
        assert provider.received[-1].json["max_tokens"] == 1
        wait_until(lambda: len(checks(gateway)) >= 2)
        good, bad = checks(gateway)[0], checks(gateway)[-1]
        assert (good["outcome"], good["team"], good["provider"], good["alias"]) == ("served", "", MAIN, "m1")
        assert good["tokens"]["output"] == 5
        assert float(good["cost_usd"]) > 0
        assert (bad["outcome"], bad["status"], len(bad["attempts"])) == ("upstream_error", 500, 1)
        count = called(provider, "m1")
        assert gateway.post(ask()).status == 200
        assert called(provider, "m1") == count + 1


def test_an_idle_target_is_asked_once_in_its_interval(own_gateway: OwnGateway) -> None:
    with own_gateway(checked(5)) as (gateway, provider):
        wait_until(lambda: called(provider, "m1") == 1, what="the first check")
        for _ in range(40):
            assert gateway.get("/healthz", key="").status == 200
        assert called(provider, "m1") == 1
        gateway.wait_records(1, provider=MAIN)


def test_without_being_asked_for_nothing_is_sent(own_gateway: OwnGateway) -> None:
    with own_gateway(checked(0)) as (gateway, provider):
        provider.on_model("m1", DOWN)
        gateway.post(ask())
        wait_until(lambda: len(gateway.records()) == 1)
        assert called(provider, "m1") == 1
        assert checks(gateway) == []
