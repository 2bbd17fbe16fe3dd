"""Guessing passwords: what makes a wait, whom it does not touch, and that every process counts the same."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounting.accounts.lockout import MOST_FAILURES, MOST_OF_AN_ADDRESS
from accounting.models import AttemptCount
from tests.pages.conftest import PASSWORD, World

LOGIN = "/accounts/login/"


def attempt(email: str = "ada@example.org", password: str = "wrong", client: Client | None = None, **more: str) -> int:
    browser = client or Client(**more)  # type: ignore[arg-type]
    return int(browser.post(LOGIN, {"email": email, "password": password}).status_code)


def test_counts_are_not_kept_in_one_process(world: World) -> None:
    for _ in range(MOST_FAILURES):
        attempt()
        cache.clear()  # what another process has in its own memory
    assert attempt(password=PASSWORD) == 429


def test_one_address_may_not_try_many_accounts(world: World) -> None:
    for number in range(MOST_OF_AN_ADDRESS):
        assert attempt(f"person-{number}@example.org") == 200
    assert attempt("ada@example.org", PASSWORD) == 429
    assert attempt("ada@example.org", PASSWORD, REMOTE_ADDR="203.0.113.7") == 302, "from elsewhere nobody waits"


def test_a_whole_network_of_ipv6_is_one_address(world: World) -> None:
    for number in range(MOST_FAILURES):
        attempt(REMOTE_ADDR=f"2001:db8::{number + 1:x}")
    assert attempt(password=PASSWORD, REMOTE_ADDR="2001:db8::ffff") == 429
    assert attempt(password=PASSWORD, REMOTE_ADDR="2001:db8:0:1::1") == 302


def test_a_browser_that_has_signed_in_before_is_not_made_to_wait_for_others_failures(world: World) -> None:
    mine = Client()
    assert attempt(password=PASSWORD, client=mine) == 302
    mine.post("/accounts/logout/")
    for number in range(MOST_OF_AN_ADDRESS):
        attempt(f"person-{number % 7}@example.org")
        attempt()
    assert attempt(password=PASSWORD) == 429, "somebody behind the same address"
    assert attempt(password=PASSWORD, client=mine) == 302


def test_a_known_browser_guesses_no_more_often_and_for_no_other_account(world: World) -> None:
    mine = Client()
    attempt("sam@example.org", PASSWORD, mine)
    mine.post("/accounts/logout/")
    for _ in range(MOST_FAILURES):
        assert attempt("sam@example.org", client=mine) == 200
    assert attempt("sam@example.org", client=mine) == 429
    for _ in range(MOST_FAILURES):
        assert attempt("ada@example.org", client=mine) == 200
    assert attempt("ada@example.org", PASSWORD, mine) == 429


@pytest.mark.parametrize("value", ["", "nonsense", "WyJhIiwgImIiXQ:1:x"])
def test_a_made_up_cookie_is_no_known_browser(value: str, world: World) -> None:
    forged = Client()
    forged.cookies["known_browser"] = value
    for _ in range(MOST_FAILURES):
        attempt(client=forged)
    assert attempt(password=PASSWORD, client=forged) == 429


def test_ones_own_sign_ins_do_not_reset_the_count_of_an_address(world: World) -> None:
    for number in range(MOST_OF_AN_ADDRESS):
        attempt(f"person-{number}@example.org")
        if number % 10 == 0:
            attempt("sam@example.org", PASSWORD)
    assert attempt("person-99@example.org") == 429


def test_the_wait_ends_and_leaves_nothing_behind(world: World) -> None:
    for _ in range(MOST_FAILURES + 1):
        last = attempt()
    assert last == 429
    AttemptCount.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert attempt(password=PASSWORD) == 302
    assert "ada" not in str(list(AttemptCount.objects.values()))
