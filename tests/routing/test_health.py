"""Breakers, rests, orders, calls in flight and figures, as one process sees them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from routing import health as module
from routing.breaker import DIED, FORGET_TTFT
from routing.health import Health, News
from routing.targets import ControlConf, CredentialConf, ProviderConf, RouteConf, TargetConf

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


def test_a_few_failures_among_many_good_answers_open_nothing() -> None:
    health = Health()
    for moment in range(9):
        for _ in range(3):
            health.succeeded(target(), 0.5, float(moment))
        health.failed(target(), 500, float(moment), route=ROUTE)
    assert health.look(target(), 9.0).state == "closed"


def test_a_target_that_fails_every_second_call_is_no_good_either() -> None:
    health = Health()
    for moment in range(3):
        health.succeeded(target(), 0.5, float(moment))
        assert health.look(target(), float(moment)).state == "closed"
        health.failed(target(), 500, float(moment), route=ROUTE)
    assert health.look(target(), 3.0).state == "open"


def test_failures_in_a_row_open_the_breaker_however_many_good_answers_came_before() -> None:
    health = Health()
    for _ in range(1000):
        health.succeeded(target(), 0.5, 0.0)
    for _ in range(3):
        health.failed(target(), 500, 1.0, route=ROUTE)
    assert health.look(target(), 1.0).state == "open"


def test_failures_of_calls_that_began_before_do_not_prolong_an_open_breaker() -> None:
    health = opened()
    for _ in range(10):
        health.failed(target(), "timeout", 25.0, route=ROUTE)
    assert health.look(target(), 25.0).until == 30.0


def test_a_good_answer_of_a_call_that_began_before_does_not_close_it() -> None:
    health = opened()
    health.succeeded(target(), 9.0, 1.0)
    assert health.look(target(), 1.0).state == "open"


def test_after_the_cooldown_one_probe_is_let_through_and_no_more() -> None:
    health = opened()
    first = health.look(target(), 30.0)
    assert (first.state, first.reason, first.probe) == ("half_open", "", True)
    assert health.started(target(), 30.0)
    assert not health.started(target(), 30.0)
    second = health.look(target(), 30.1)
    assert second.state == "half_open"
    assert "probe" in second.reason
    assert second.until > 30.1


def test_a_successful_probe_closes_the_breaker() -> None:
    health = opened()
    health.started(target(), 30.0)
    health.succeeded(target(), 0.2, 31.0, probe=True)
    assert health.look(target(), 31.0).state == "closed"
    assert health.look(target(), 31.0).reason == ""


def test_one_failed_probe_opens_the_breaker_again_for_the_whole_cooldown() -> None:
    health = opened()
    health.started(target(), 40.0)
    health.failed(target(), 503, 41.0, route=ROUTE, probe=True)
    health.finished(target(), 41.0, probe=True)
    seen = health.look(target(), 41.0)
    assert (seen.state, seen.until) == ("open", 71.0)


def test_a_probe_whose_client_left_frees_its_place() -> None:
    health = opened()
    health.started(target(), 30.0)
    health.finished(target(), 30.2, probe=True)
    assert health.look(target(), 30.5).probe


def test_a_probe_that_hangs_keeps_the_next_away_for_one_cooldown_only() -> None:
    health = opened()
    assert health.started(target(), 30.0)
    assert not health.look(target(), 59.9).probe
    assert health.look(target(), 60.1).probe
    assert health.started(target(), 60.1)
    assert "probe" in health.look(target(), 60.2).reason
    health.succeeded(target(), 0.2, 60.3, probe=True)
    health.failed(target(), "timeout", 155.0, route=ROUTE, probe=True)  # the first one, at last
    health.finished(target(), 155.0, probe=True)
    assert health.look(target(), 155.0).state == "closed"


def test_a_short_cooldown_leaves_a_probe_its_time() -> None:
    health = Health()
    for _ in range(3):
        health.failed(target(), 500, 0.0, route=replace(ROUTE, cooldown=1))
    assert health.started(target(), 1.0)
    assert not health.look(target(), 10.9).probe
    assert health.look(target(), 11.1).probe


def test_an_old_call_that_ends_does_not_free_the_place_of_the_probe() -> None:
    health = Health()
    health.started(target(), 0.0)
    for _ in range(3):
        health.failed(target(), 500, 0.0, route=ROUTE)
    assert health.started(target(), 30.0)
    health.finished(target(), 30.1)
    assert not health.look(target(), 30.2).probe


def test_answers_that_break_off_open_the_breaker_although_each_began_well() -> None:
    health = Health()
    for moment in (0.0, 1.0, 2.0):
        health.started(target(), moment)
        health.succeeded(target(), 0.1, moment)
        health.failed(target(), DIED, moment, route=ROUTE)
        health.finished(target(), moment)
    assert health.look(target(), 2.0).state == "open"
    assert [(each.good, each.bad) for each in health.report(2.0)] == [(0, 3)]


def test_a_breaker_that_opened_by_broken_answers_closes_at_the_end_of_a_whole_one() -> None:
    health = Health()
    for _ in range(3):
        health.failed(target(), DIED, 0.0, route=ROUTE)
    assert health.started(target(), 30.0)
    health.succeeded(target(), 0.1, 30.1, probe=True)
    assert health.look(target(), 30.2).state == "half_open"
    health.finished(target(), 35.0, probe=True, good=True)
    assert health.look(target(), 35.0).state == "closed"


def test_a_probe_that_meets_a_429_leaves_the_breaker_half_open_and_the_target_resting() -> None:
    health = opened()
    health.started(target(), 30.0)
    health.failed(target(), 429, 31.0, route=ROUTE, retry_after=3.0, probe=True)
    health.finished(target(), 31.0, probe=True)
    assert (health.look(target(), 33.0).state, health.look(target(), 33.0).until) == ("half_open", 34.0)
    assert health.look(target(), 34.0).probe


def test_a_full_target_is_passed_over_until_a_call_ends() -> None:
    health, narrow = Health(), replace(target(), max_concurrent=2)
    health.started(narrow, 0.0)
    assert health.look(narrow, 0.0).reason == ""
    health.started(narrow, 0.0)
    seen = health.look(narrow, 0.0)
    assert (seen.barred, seen.state) == (True, "closed")
    assert "2 calls are under way, of at most 2" in seen.reason
    assert health.look(target(), 0.0).reason == ""  # another route may send more there
    health.finished(narrow, 1.0)
    assert health.look(narrow, 1.0).reason == ""


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_an_order_keeps_requests_away_until_it_is_undone_or_over() -> None:
    health = Health()
    health.obey({target().key: ControlConf(drained=True)}, 0.0, NOON)
    assert health.look(target(), 1e6).barred
    assert "drains" in health.look(target(), 1e6).reason
    health.obey({target().key: ControlConf(rest_until=NOON + timedelta(seconds=90))}, 0.0, NOON)
    assert (health.look(target(), 89.0).barred, health.look(target(), 89.0).until) == (True, 90.0)
    assert health.look(target(), 90.0).reason == ""
    health.obey({}, 0.0, NOON)
    assert health.look(target(), 1.0).reason == ""


def test_reopening_by_hand_closes_the_breaker_once_and_ends_the_rest() -> None:
    health = opened()
    health.failed(target(), 429, 0.0, route=ROUTE, retry_after=50.0)
    order = {target().key: ControlConf(reopened_at=NOON)}
    health.obey(order, 1.0, NOON + timedelta(seconds=1))
    assert (health.look(target(), 1.0).state, health.look(target(), 1.0).reason) == ("closed", "")
    for _ in range(3):
        health.failed(target(), 500, 2.0, route=ROUTE)
    health.obey(order, 3.0, NOON + timedelta(seconds=3))
    assert health.look(target(), 3.0).state == "open"


def test_an_old_reopening_says_nothing_to_a_process_that_starts_later() -> None:
    health = opened()
    health.obey({target().key: ControlConf(reopened_at=NOON)}, 1.0, NOON + timedelta(hours=1))
    assert health.look(target(), 1.0).state == "open"


def test_changes_are_told_once_each_and_what_others_tell_is_not_told_on() -> None:
    told: list[News] = []
    health = opened()
    health.tell = told.append
    health.started(target(), 30.0)
    health.succeeded(target(), 0.1, 30.0, probe=True)
    for _ in range(20):
        health.failed(target(), 429, 40.0, route=ROUTE, retry_after=7.0)
    for _ in range(3):
        health.failed(target(), 500, 41.0, route=ROUTE)
    assert [news.change for news in told] == ["closed", "rest", "open"]
    assert told[-1] == News("p", "m", "open", 30.0, "500", 30.0)
    told.clear()
    health.hear(News("p", "m", "closed"), 42.0)
    health.hear(News("p", "other", "open", 5.0, "503", 30.0), 42.0)
    assert told == []
    assert health.look(target(), 50.0).state == "closed"
    assert health.look(target("other"), 46.0).state == "open"


def test_where_states_are_shared_only_a_permit_lets_the_probe_through() -> None:
    health = opened()
    health.shared = True
    assert set(health.due(29.0, 0.5)) == set()
    assert set(health.due(29.9, 0.5)) == {target().key}
    assert "another process" in health.look(target(), 31.0).reason
    assert not health.started(target(), 31.0)
    health.permit(target().key, 33.0)
    assert health.look(target(), 32.0).probe
    assert "another process" in health.look(target(), 33.0).reason
    health.shared = False
    assert health.look(target(), 33.0).probe


def test_a_report_has_the_figures_of_the_last_minute_and_the_last_words() -> None:
    health = Health()
    health.failed(target(), 500, 0.0, route=ROUTE, words="long ago")
    health.started(target(), 100.0)
    for number in range(1, 101):
        health.succeeded(target(), number / 100, 100.0)
    health.failed(target(), 429, 101.0, route=ROUTE, words="too many")
    health.failed(target(), 503, 102.0, route=ROUTE, words="503 busy")
    (report,) = health.report(110.0)
    assert (report.good, report.bad, report.limited, report.in_flight) == (100, 1, 1, 1)
    assert (report.words, report.words_at, report.resting) == ("503 busy", 102.0, False)
    assert len(report.times) == 64
    assert report.times == tuple(sorted(report.times))
    assert report.times[32] == pytest.approx(0.5, abs=0.02)


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
    assert health.look(target(), 1.0 + FORGET_TTFT + 1).ttft is None
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
