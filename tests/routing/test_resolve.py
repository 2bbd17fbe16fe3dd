"""Which target serves a request: shares, stability, tiers, and the reasons for the others."""

import random
from collections import Counter

import pytest

from routing.health import Health
from routing.resolve import Resolution, resolve
from routing.targets import CredentialConf, ProviderConf, RouteConf, TargetConf

KEYS = 100_000


def target(name: str, weight: int = 1, tier: int = 0) -> TargetConf:
    provider = ProviderConf(1, name, "anthropic", "https://example.com", CredentialConf("none"))
    return TargetConf(provider, "claude", tier, weight)


def route(*targets: TargetConf, strategy: str = "weighted", sticky: str = "session") -> RouteConf:
    return RouteConf(name="r", strategy=strategy, sticky=sticky, targets=targets, breaker_failures=1, cooldown=30)


def ask(conf: RouteConf, health: Health | None = None, *, key: str = "", now: float = 0.0, seed: int = 1) -> Resolution:
    return resolve(conf, sticky_key=key, health=health or Health(), now=now, random=random.Random(seed).random)


def names(resolution: Resolution) -> list[str]:
    return [candidate.target.provider.name for candidate in resolution.candidates]


def winners(conf: RouteConf) -> dict[str, str]:
    health = Health()
    return {
        key: resolve(conf, sticky_key=key, health=health, now=0.0, random=lambda: 0.5)
        .candidates[0]
        .target.provider.name
        for key in (f"session-{number}" for number in range(KEYS))
    }


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return winners(route(target("a", 60), target("b", 30), target("c", 10)))


def test_sticky_shares_follow_the_weights_within_one_percent(before: dict[str, str]) -> None:
    shares = Counter(before.values())
    for name, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
        assert abs(shares[name] / KEYS - share) < 0.01


def test_a_target_that_leaves_moves_only_its_own_sessions(before: dict[str, str]) -> None:
    after = winners(route(target("a", 60), target("b", 30)))
    assert all(after[key] == name for key, name in before.items() if name != "c")
    moved = Counter(after[key] for key, name in before.items() if name == "c")
    assert abs(moved["a"] / sum(moved.values()) - 2 / 3) < 0.02


@pytest.mark.parametrize("strategy", ["weighted", "least_busy", "latency"])
@pytest.mark.parametrize("gone", range(4))
def test_one_of_n_equal_targets_takes_only_its_nth_of_the_sessions_along(strategy: str, gone: int) -> None:
    conf = route(*(target(name) for name in "abcd"), strategy=strategy)
    sessions = [f"session-{number}" for number in range(KEYS // 10)]
    homes = {key: names(ask(conf, key=key))[0] for key in sessions}
    health = Health()
    health.failed(conf.targets[gone], 500, 0.0, route=conf)
    after = {key: names(ask(conf, health, key=key))[0] for key in sessions}
    moved = [key for key in sessions if homes[key] != after[key]]
    assert {homes[key] for key in moved} == {"abcd"[gone]}
    assert abs(len(moved) / len(sessions) - 1 / 4) < 0.02
    shares = Counter(after[key] for key in moved)
    assert all(abs(count / len(moved) - 1 / 3) < 0.05 for count in shares.values())
    back = {key: names(ask(conf, Health(), key=key))[0] for key in moved}
    assert all(homes[key] == back[key] for key in moved)


@pytest.mark.parametrize("strategy", ["weighted", "priority", "least_busy", "latency"])
def test_a_session_stays_whatever_a_process_sees_of_load_and_speed(strategy: str) -> None:
    """Another process sees other calls in flight and other times, and must come to the same target."""
    conf = route(target("a", 3), target("b", 2), target("c"), strategy=strategy)
    busy = Health()
    for number, each in enumerate(conf.targets):
        busy.succeeded(each, 0.1 * (3 - number), 0.0)
        for _ in range(7 * number):
            busy.started(each, 0.0)
    for number in range(200):
        key = f"session-{number}"
        assert names(ask(conf, busy, key=key, seed=number)) == names(ask(conf, key=key))


@pytest.mark.parametrize("strategy", ["least_busy", "latency"])
def test_sessions_are_placed_by_weight_where_every_process_must_agree(strategy: str) -> None:
    conf = route(target("a", 60), target("b", 30), target("c", 10), strategy=strategy)
    shares = Counter(names(ask(conf, key=f"session-{number}"))[0] for number in range(20_000))
    for name, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
        assert abs(shares[name] / 20_000 - share) < 0.015


def test_a_hundred_thousand_requests_without_a_session_meet_the_weights_within_one_percent() -> None:
    conf, chance = route(target("a", 60), target("b", 30), target("c", 10), sticky="none"), random.Random(5).random
    health = Health()
    first = Counter(
        resolve(conf, sticky_key="", health=health, now=0.0, random=chance).candidates[0].target.provider.name
        for _ in range(KEYS)
    )
    for name, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
        assert abs(first[name] / KEYS - share) < 0.01


def test_a_session_goes_to_the_same_target_in_every_process() -> None:
    conf = route(target("a"), target("b"), target("c"))
    orders = {key: "".join(names(ask(conf, key=key))) for key in ("one", "two", "three", "four")}
    assert orders == {"one": "cba", "two": "acb", "three": "acb", "four": "abc"}


def test_the_order_of_targets_and_the_state_of_chance_do_not_move_a_session() -> None:
    one, two = route(target("a"), target("b")), route(target("b"), target("a"))
    assert names(ask(one, key="k", seed=1)) == names(ask(two, key="k", seed=2))


@pytest.mark.parametrize(("sticky", "key"), [("none", "session-1"), ("session", ""), ("key", "")])
def test_without_something_to_stick_to_weights_are_met_by_chance(sticky: str, key: str) -> None:
    conf = route(target("a", 75), target("b", 25), sticky=sticky)
    chance = random.Random(7).random
    first = Counter(
        resolve(conf, sticky_key=key, health=Health(), now=0.0, random=chance).candidates[0].target.provider.name
        for _ in range(20_000)
    )
    assert abs(first["a"] / 20_000 - 0.75) < 0.01


@pytest.mark.parametrize("chance", [0.0, 1.0 - 2**-53, 0.5])
def test_no_chance_is_too_small_or_too_great(chance: float) -> None:
    conf = route(target("a"), target("b"))
    assert len(resolve(conf, sticky_key="", health=Health(), now=0.0, random=lambda: chance).candidates) == 2


def test_tiers_come_in_order_and_all_their_targets_are_candidates() -> None:
    conf = route(target("late", 1, 5), target("a", 1, 0), target("b", 1, 0), target("middle", 99, 2))
    for key in ("one", "two", "three", "four"):
        order = names(ask(conf, key=key))
        assert sorted(order[:2]) == ["a", "b"]
        assert order[2:] == ["middle", "late"]


def test_priority_keeps_the_listed_order_whatever_the_weights() -> None:
    conf = route(target("b", 1), target("a", 99), target("c", 5), strategy="priority")
    for seed in range(5):
        assert names(ask(conf, key="k", seed=seed)) == ["b", "a", "c"]


def test_least_busy_counts_calls_in_flight_for_each_unit_of_weight() -> None:
    small, big = target("small", 1), target("big", 10)
    conf, health = route(small, big, strategy="least_busy"), Health()
    health.started(small, 0.0)
    for _ in range(9):
        health.started(big, 0.0)
    assert names(ask(conf, health)) == ["big", "small"]
    health.started(big, 0.0)
    health.started(big, 0.0)
    assert names(ask(conf, health)) == ["small", "big"]


def test_equally_busy_targets_share_by_weight() -> None:
    conf, chance = route(target("a", 3), target("b", 1), strategy="least_busy"), random.Random(3).random
    first = Counter(
        resolve(conf, sticky_key="", health=Health(), now=0.0, random=chance).candidates[0].target.provider.name
        for _ in range(20_000)
    )
    assert abs(first["a"] / 20_000 - 0.75) < 0.01


def test_latency_tries_an_unknown_target_once_and_then_prefers_the_fastest() -> None:
    fast, slow, new = target("fast"), target("slow"), target("new")
    conf, health = route(slow, fast, new, strategy="latency"), Health()
    health.succeeded(slow, 2.0, 0.0)
    health.succeeded(fast, 0.5, 0.0)
    assert names(ask(conf, health)) == ["new", "fast", "slow"]
    health.started(new, 0.0)
    assert names(ask(conf, health)) == ["fast", "slow", "new"]
    health.succeeded(new, 1.0, 0.0)
    assert names(ask(conf, health)) == ["fast", "new", "slow"]


@pytest.mark.parametrize("strategy", ["weighted", "priority", "least_busy", "latency"])
def test_weight_zero_takes_no_traffic_even_alone(strategy: str) -> None:
    off = target("off", 0)
    resolution = ask(route(off, strategy=strategy))
    assert resolution.candidates == ()
    assert resolution.passed_over[0][0] is off
    assert "weight" in resolution.passed_over[0][1]
    assert resolution.retry_after is None
    assert names(ask(route(off, target("on"), strategy=strategy))) == ["on"]


def test_an_open_target_is_passed_over_with_the_reason_and_the_next_tier_serves() -> None:
    main, spare = target("main"), target("spare", 1, 1)
    conf, health = route(main, spare), Health()
    health.failed(main, 500, 0.0, route=conf)
    resolution = ask(conf, health, now=10.0)
    assert names(resolution) == ["spare"]
    assert [
        (each.provider.name, "breaker is open for 20.0 s" in reason) for each, reason in resolution.passed_over
    ] == [("main", True)]
    assert resolution.retry_after is None


def test_when_all_rest_the_caller_learns_when_the_first_returns() -> None:
    one, two = target("one"), target("two")
    conf, health = route(one, two), Health()
    health.failed(one, 500, 0.0, route=conf)
    health.failed(two, 502, 0.0, route=conf, retry_after=42.0)
    resolution = ask(conf, health, now=2.0)
    assert resolution.candidates == ()
    assert resolution.retry_after == pytest.approx(28.0)
    assert len(resolution.passed_over) == 2


def test_when_nothing_else_is_left_a_resting_target_is_asked_after_all() -> None:
    """Its own 429 tells the client more than a made-up 529, and the rest may be over sooner than it said."""
    one, two, three = target("one"), target("two"), target("three")
    conf, health = route(one, two, three), Health()
    health.failed(one, 429, 0.0, route=conf, retry_after=20.0)
    health.failed(two, 429, 0.0, route=conf, retry_after=12.0)
    assert names(ask(conf, health, now=2.0)) == ["three"]
    health.failed(three, 500, 2.0, route=conf)
    resolution = ask(conf, health, now=3.0)
    assert names(resolution) == ["two", "one"]
    assert [each.provider.name for each, _ in resolution.passed_over] == ["three"]
    assert resolution.retry_after is None


def test_a_half_open_target_gets_one_probe_and_then_is_passed_over() -> None:
    main = target("main")
    conf, health = route(main), Health()
    health.failed(main, 500, 0.0, route=conf)
    assert [candidate.probe for candidate in ask(conf, health, now=31.0).candidates] == [True]
    health.started(main, 31.0)
    resolution = ask(conf, health, now=31.0)
    assert resolution.candidates == ()
    assert resolution.retry_after is not None


def test_a_route_without_usable_targets_has_nothing_to_wait_for() -> None:
    assert ask(route()) == Resolution((), (), None)
