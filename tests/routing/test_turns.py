"""Whose turn it is after a failure, and how long to wait: a table of one request's further calls."""

import pytest

from routing.proxy.turns import FIRST_PAUSE, LONGEST_PAUSE, Turns
from routing.targets import BreakerState, CredentialConf, ProviderConf, TargetConf, TargetHealth

A, B, C = (
    TargetConf(ProviderConf(1, name, "anthropic", "https://example.com", CredentialConf("none")), "m") for name in "abc"
)


class Seen:
    """Health as it is told: reason and end for each target's name."""

    def __init__(self) -> None:
        self.states: dict[str, tuple[BreakerState, float, bool]] = {}

    def look(self, target: TargetConf, now: float) -> TargetHealth:
        state, until, barred = self.states.get(target.provider.name, ("closed", 0.0, False))
        return TargetHealth(state, "why" if until > now else "", until, False, 0, None, barred)


def turns(*targets: TargetConf, seen: Seen | None = None, chance: float = 0.5) -> Turns:
    return Turns(targets, seen or Seen(), lambda: chance)


def test_each_target_is_called_once_before_any_is_called_again() -> None:
    order = turns(A, B, C)
    assert order.first(0.0) is A
    order.failed(A, 0.0, kind=500, asked=None, calls=1)
    assert order.next(0.0) == (B, 0.0)
    order.failed(B, 0.1, kind=500, asked=None, calls=1)
    assert order.next(0.1) == (C, 0.1)
    order.failed(C, 0.2, kind=500, asked=None, calls=1)
    assert order.next(0.2) == (A, 0.5 * FIRST_PAUSE)


@pytest.mark.parametrize(
    ("kind", "asked", "calls", "moment"),
    [
        (500, None, 1, 10 + 0.5 * FIRST_PAUSE),
        (500, None, 3, 10 + 0.5 * 4 * FIRST_PAUSE),
        (500, None, 15, 10 + 0.5 * LONGEST_PAUSE),
        (429, 0.0, 1, 10.0),
        (429, 1.0, 1, 11.05),
        (503, 2.0, 1, 12.1),
        (429, 2.1, 1, None),
        (503, 60.0, 1, None),
        (429, None, 1, None),
    ],
)
def test_the_wait_for_the_only_target(kind: int, asked: float | None, calls: int, moment: float | None) -> None:
    order = turns(A)
    order.first(10.0)
    order.failed(A, 10.0, kind=kind, asked=asked, calls=calls)
    found = order.next(10.0)
    assert (found is None) == (moment is None)
    if found is not None:
        assert found[0] is A
        assert found[1] == pytest.approx(moment)


def test_waits_are_spread_over_their_whole_length() -> None:
    for chance in (0.0, 0.25, 0.999):
        order = turns(A, chance=chance)
        order.first(0.0)
        order.failed(A, 0.0, kind=500, asked=None, calls=1)
        found = order.next(0.0)
        assert found is not None
        assert found[1] == pytest.approx(chance * FIRST_PAUSE)


def test_of_two_that_rest_the_one_that_is_back_first_is_awaited() -> None:
    order = turns(A, B)
    order.first(0.0)
    order.failed(A, 0.0, kind=429, asked=1.8, calls=1)
    order.next(0.0)
    order.failed(B, 0.1, kind=429, asked=0.5, calls=1)
    found = order.next(0.1)
    assert found is not None
    assert found[0] is B
    assert found[1] == pytest.approx(0.1 + 0.5 * 1.05)


def test_an_untried_target_that_rests_for_long_is_left_alone_and_a_short_rest_is_awaited() -> None:
    seen = Seen()
    seen.states["b"] = ("closed", 50.0, False)
    order = turns(A, B, seen=seen)
    order.first(0.0)
    order.failed(A, 0.0, kind=429, asked=None, calls=1)
    assert order.next(0.0) is None
    seen.states["b"] = ("closed", 1.5, False)
    assert order.next(0.0) == (B, 1.5)


@pytest.mark.parametrize(("state", "barred"), [("open", False), ("half_open", False), ("closed", True)])
def test_what_has_opened_or_filled_up_meanwhile_is_not_called(state: BreakerState, barred: bool) -> None:
    seen = Seen()
    order = turns(A, B, seen=seen)
    seen.states["a"] = (state, 9.0, barred)
    assert order.first(0.0) is B
    order.failed(B, 0.0, kind=500, asked=None, calls=1)
    seen.states["b"] = (state, 9.0, barred)
    assert order.next(0.0) is None


def test_when_all_rest_the_first_call_goes_to_the_first_of_them() -> None:
    seen = Seen()
    seen.states = {"a": ("closed", 3.0, False), "b": ("closed", 9.0, False)}
    assert turns(A, B, seen=seen).first(0.0) is A


def test_without_any_target_the_wait_is_that_for_the_soonest() -> None:
    seen = Seen()
    seen.states = {"a": ("open", 30.0, False), "b": ("closed", 12.0, True)}
    order = turns(A, B, seen=seen)
    assert order.first(0.0) is None
    assert order.soonest(2.0) == 10.0
