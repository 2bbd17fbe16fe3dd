"""Further calls are at most a fifth of the requests of the last ten seconds, and a few in any case."""

from routing.retry_budget import FLOOR, RetryBudget


def taken(budget: RetryBudget, now: float, most: int = 10_000) -> int:
    """How many further calls are granted at once."""
    count = 0
    while count < most and budget.take(now):
        count += 1
    return count


def test_a_quiet_process_may_retry_a_little() -> None:
    budget = RetryBudget()
    budget.called(100.0)
    assert taken(budget, 100.5) == FLOOR
    assert taken(budget, 109.9) == 0
    assert taken(budget, 110.5) == FLOOR


def test_a_busy_process_may_retry_a_fifth_of_its_traffic() -> None:
    budget = RetryBudget()
    for number in range(5000):
        budget.called(100.0 + number / 1000)
    assert taken(budget, 105.0) == 1000


def test_what_is_older_than_the_window_does_not_count() -> None:
    budget = RetryBudget()
    for _ in range(5000):
        budget.called(100.0)
    assert taken(budget, 109.9, 3) == 3
    assert taken(budget, 110.0) == FLOOR - 3


def test_a_long_pause_empties_the_window() -> None:
    budget = RetryBudget()
    for _ in range(5000):
        budget.called(100.0)
    taken(budget, 100.0)
    assert taken(budget, 5000.0) == FLOOR


def test_under_a_full_outage_the_load_grows_by_a_fifth_and_no_more() -> None:
    budget, calls = RetryBudget(), 0
    for number in range(60_000):
        now = number / 1000
        budget.called(now)
        calls += 1 + budget.take(now) + budget.take(now)
    assert 1.19 < calls / 60_000 <= 1.2001
