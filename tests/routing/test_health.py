"""Breakers, rests, calls in flight and the time to the first byte, as one process sees them."""

import pytest

from routing import health as module
from routing.health import Health
from routing.targets import CredentialConf, ProviderConf, RouteConf, TargetConf

ROUTE = RouteConf(name="r", cooldown=30, breaker_failures=3, breaker_window=10)


def target(model: str = "m", provider: str = "p") -> TargetConf:
    conf = ProviderConf(1, provider, "anthropic", "https://example.com", CredentialConf("none"))
    return TargetConf(conf, model)


def opened(at: float = 0.0) -> Health:
    health = Health()
    for _ in range(3):
        health.failed(target(), 500, at, route=ROUTE)
    return health


def test_enough_failures_in_the_window_open_the_breaker_for_the_cooldown() -> None:
    health = Health()
    for moment in (0.0, 5.0):
        health.failed(target(), 500, moment, route=ROUTE)
    assert health.look(target(), 5.0).reason == ""
    health.failed(target(), "connect", 9.0, route=ROUTE)
    seen = health.look(target(), 9.0)
    assert (seen.state, seen.until, seen.probe) == ("open", 39.0, False)
    assert "connect" in seen.reason
    assert health.look(target(), 38.9).state == "open"


def test_failures_spread_over_more_than_the_window_open_nothing() -> None:
    health = Health()
    for moment in (0.0, 5.0, 11.0, 17.0, 22.0):
        health.failed(target(), 500, moment, route=ROUTE)
    assert health.look(target(), 22.0).state == "closed"


def test_a_success_forgets_earlier_failures() -> None:
    health = Health()
    health.failed(target(), 500, 0.0, route=ROUTE)
    health.failed(target(), 500, 1.0, route=ROUTE)
    health.succeeded(target(), 0.5, 2.0)
    health.failed(target(), 500, 3.0, route=ROUTE)
    assert health.look(target(), 3.0).state == "closed"


def test_after_the_cooldown_one_probe_is_let_through_and_no_more() -> None:
    health = opened()
    first = health.look(target(), 30.0)
    assert (first.state, first.reason, first.probe) == ("half_open", "", True)
    health.started(target(), 30.0)
    second = health.look(target(), 30.1)
    assert second.state == "half_open"
    assert "probe" in second.reason
    assert second.until > 30.1


def test_a_successful_probe_closes_the_breaker() -> None:
    health = opened()
    health.started(target(), 30.0)
    health.succeeded(target(), 0.2, 31.0)
    assert health.look(target(), 31.0).state == "closed"
    assert health.look(target(), 31.0).reason == ""


def test_one_failed_probe_opens_the_breaker_again_for_the_whole_cooldown() -> None:
    health = opened()
    health.started(target(), 40.0)
    health.failed(target(), 503, 41.0, route=ROUTE)
    health.finished(target())
    seen = health.look(target(), 41.0)
    assert (seen.state, seen.until) == ("open", 71.0)


def test_a_probe_whose_client_left_frees_its_place() -> None:
    health = opened()
    health.started(target(), 30.0)
    health.finished(target())
    assert health.look(target(), 30.5).probe


@pytest.mark.parametrize(
    ("retry_after", "rest"), [(None, 5.0), (0.0, 0.0), (2.5, 2.5), (60.0, 60.0), (3600.0, 60.0), (-4.0, 0.0)]
)
def test_a_429_gives_a_rest_and_leaves_the_breaker_alone(retry_after: float | None, rest: float) -> None:
    health = Health()
    for _ in range(10):
        health.failed(target(), 429, 100.0, route=ROUTE, retry_after=retry_after)
    seen = health.look(target(), 100.0)
    assert (seen.state, bool(seen.reason)) == ("closed", rest > 0)
    assert health.look(target(), 100.0 + rest).reason == ""
    if rest:
        assert health.look(target(), 100.0 + rest - 0.01).until == 100.0 + rest


def test_an_overloaded_upstream_that_says_how_long_rests_and_counts_as_a_failure() -> None:
    health = Health()
    for _ in range(3):
        health.failed(target(), 529, 0.0, route=ROUTE, retry_after=45.0)
    seen = health.look(target(), 0.0)
    assert (seen.state, seen.until) == ("open", 45.0)
    assert health.look(target(), 44.0).state == "half_open"
    assert "rest" in health.look(target(), 44.0).reason


def test_calls_in_flight_are_counted_and_never_fall_below_zero() -> None:
    health = Health()
    health.started(target(), 0.0)
    health.started(target(), 0.0)
    health.finished(target())
    assert health.look(target(), 0.0).in_flight == 1
    health.finished(target())
    health.finished(target())
    assert health.look(target(), 0.0).in_flight == 0


def test_the_time_to_the_first_byte_is_smoothed_and_forgotten_when_it_is_old() -> None:
    health = Health()
    assert health.look(target(), 0.0).ttft is None
    health.succeeded(target(), 1.0, 0.0)
    health.succeeded(target(), 2.0, 1.0)
    assert health.look(target(), 1.0).ttft == pytest.approx(1.2)
    assert health.look(target(), 1.0 + module.FORGET_TTFT + 1).ttft is None
    health.succeeded(target(), 9.0, 500.0)
    assert health.look(target(), 500.0).ttft == 9.0


def test_targets_are_kept_apart_by_provider_and_model() -> None:
    health = opened()
    assert health.look(target("other"), 0.0).state == "closed"
    assert health.look(target(provider="other"), 0.0).state == "closed"


def test_the_number_of_targets_is_bounded_and_idle_ones_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TARGETS", 10)
    health = opened()
    health.started(target("busy"), 0.0)
    for number in range(50):
        health.succeeded(target(f"m{number}"), 0.1, 0.0)
    assert len(health) == 10
    assert health.look(target(), 0.0).state == "open"
    assert health.look(target("busy"), 0.0).in_flight == 1
