"""Further calls are at most a fifth of the requests of the last ten seconds, and a few in any case."""

from routing.retry_budget import FLOOR, QUIET, QUIET_RATE, RetryBudget


def busy(requests: int = 0, at: float = 0.0) -> RetryBudget:
    """A budget with requests that are answered, and some that are not."""
    budget = RetryBudget()
    for _ in range(requests):
        budget.called(at)
        budget.answered()
    for _ in range(QUIET + 1):
        budget.called(-100.0)
    return budget


def taken(budget: RetryBudget, now: float, most: int = 10_000) -> int:
    """How many further calls are granted at once."""
    count = 0
    while count < most and budget.take(now):
        count += 1
    return count


def test_a_request_on_an_idle_gateway_may_be_tried_again_as_often_as_its_route_says() -> None:
    budget = RetryBudget()
    for _ in range(QUIET):
        budget.called(100.0)
    assert taken(budget, 100.0, 1000) == 1000
    budget.called(100.0)
    assert taken(budget, 100.0) == FLOOR
    budget.answered()
    assert budget.take(100.0)


def test_requests_that_fail_fast_one_after_the_other_are_not_each_alone() -> None:
    budget, granted = RetryBudget(), 0
    for number in range(300):
        now = 100.0 + number / 100
        budget.called(now)
        granted += taken(budget, now, 2)
        budget.answered()
    assert granted <= 3 * 2 * QUIET_RATE + FLOOR + 300 // 5


def test_a_burst_on_a_quiet_process_may_be_tried_again() -> None:
    budget = busy(1, 100.0)
    assert taken(budget, 100.5) == FLOOR
    assert taken(budget, 109.9) == 0
    assert taken(budget, 110.5) == FLOOR


def test_a_busy_process_may_retry_a_fifth_of_its_traffic() -> None:
    assert taken(busy(5000, 100.0), 105.0) == 1000


def test_what_is_older_than_the_window_does_not_count() -> None:
    budget = busy(5000, 100.0)
    assert taken(budget, 109.9, 3) == 3
    assert taken(budget, 110.0) == FLOOR - 3


def test_a_long_pause_empties_the_window() -> None:
    budget = busy(5000, 100.0)
    taken(budget, 100.0)
    assert taken(budget, 5000.0) == FLOOR


def test_under_a_full_outage_the_load_grows_by_a_fifth_and_no_more() -> None:
    budget, calls = busy(), 0
    for number in range(60_000):
        now = number / 1000
        budget.called(now)
        calls += 1 + budget.take(now) + budget.take(now)
        budget.answered()
    assert 1.19 < calls / 60_000 <= 1.201
