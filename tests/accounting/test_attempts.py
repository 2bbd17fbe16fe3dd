"""Attempts to sign in are counted exactly, whichever threads, processes and databases they come through."""

import threading
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from accounting.accounts.lockout import MOST_FAILURES, Attempt, admit, succeeded
from accounting.models import AttemptCount

ATTEMPT = Attempt("ada@example.org", "203.0.113.7")
TOGETHER = 12


def test_attempts_made_together_count_together(any_database: str) -> None:
    old = timezone.now() - timedelta(hours=1)
    AttemptCount.objects.bulk_create(AttemptCount(name=f"{number:064}", count=3, until=old) for number in range(20))
    start, admitted = threading.Barrier(TOGETHER), []

    def work() -> None:
        start.wait()
        admitted.append(admit(ATTEMPT))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(TOGETHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert admitted.count(True) == MOST_FAILURES
    assert sorted(AttemptCount.objects.values_list("count", flat=True)) == [TOGETHER, TOGETHER]


def test_a_window_that_is_over_begins_anew(any_database: str) -> None:
    for _ in range(MOST_FAILURES + 1):
        last = admit(ATTEMPT)
    assert not last
    AttemptCount.objects.update(until=timezone.now())
    assert admit(ATTEMPT)
    assert set(AttemptCount.objects.values_list("count", flat=True)) == {1}


def test_a_success_takes_back_its_own_attempt_only(any_database: str) -> None:
    other = Attempt("sam@example.org", ATTEMPT.network)
    admit(other)
    admit(ATTEMPT)
    succeeded(ATTEMPT)
    assert sorted(AttemptCount.objects.values_list("count", flat=True)) == [1, 1], "sam's, and the address's"
