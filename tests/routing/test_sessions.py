"""What a process knows of where sessions were served: it tells of switches, and forgets in time."""

import pytest

from accounting.money.entry import Entry
from routing.sessions import Sessions

A, B = ("main", "claude-a"), ("spare", "claude/b")


def entry(*, read: int = 0, brief: int = 0, long: int = 0, outcome: str = "served", alias: str = "claude") -> Entry:
    return Entry(
        "req", 0.0, alias=alias, outcome=outcome,
        tokens_cache_read=read, tokens_cache_write_5m=brief, tokens_cache_write_1h=long,
    )  # fmt: skip


def seen(
    sessions: Sessions, target: tuple[str, str], now: float, key: str = "s", alias: str = "claude"
) -> tuple[str, int]:
    made = entry(alias=alias)
    sessions.answered(made, key, target, now)
    return made.switched_from, made.switch_tokens


def test_a_switch_names_the_earlier_target_and_the_cached_tokens_left_there() -> None:
    sessions = Sessions()
    assert seen(sessions, A, 0.0) == ("", 0)
    sessions.ended(entry(read=900, brief=100), "s", A, 10.0)
    assert seen(sessions, A, 20.0) == ("", 0)
    assert seen(sessions, B, 20.0) == ("main/claude-a", 1000)
    sessions.ended(entry(brief=1200), "s", B, 30.0)
    assert seen(sessions, A, 31.0) == ("spare/claude/b", 1200)


@pytest.mark.parametrize(("long", "later", "lost"), [(0, 300.0, 100), (0, 301.0, 0), (5, 3600.0, 105), (5, 3601.0, 0)])
def test_a_cache_that_has_lived_out_its_time_is_not_lost_by_a_switch(long: int, later: float, lost: int) -> None:
    sessions = Sessions()
    sessions.ended(entry(brief=100, long=long), "s", A, 0.0)
    assert seen(sessions, B, later) == ("main/claude-a", lost)


def test_reading_what_was_written_for_an_hour_keeps_it_for_an_hour() -> None:
    sessions = Sessions()
    sessions.ended(entry(long=100), "s", A, 0.0)
    sessions.ended(entry(read=100), "s", A, 1000.0)
    assert seen(sessions, B, 4000.0) == ("main/claude-a", 100)


def test_sessions_names_and_keys_are_told_apart() -> None:
    sessions = Sessions()
    sessions.ended(entry(brief=100), "s", A, 0.0)
    assert seen(sessions, B, 1.0, key="other") == ("", 0)
    assert seen(sessions, B, 1.0, alias="haiku") == ("", 0)
    sessions.ended(entry(brief=100), "", A, 0.0)
    assert seen(sessions, B, 1.0, key="") == ("", 0)


def test_an_answer_that_failed_and_told_nothing_changes_nothing() -> None:
    sessions = Sessions()
    sessions.ended(entry(brief=100), "s", A, 0.0)
    sessions.ended(entry(outcome="upstream_error"), "s", B, 1.0)
    assert seen(sessions, A, 2.0) == ("", 0)
    sessions.ended(entry(outcome="client_left", brief=7), "s", B, 3.0)
    assert seen(sessions, A, 4.0) == ("spare/claude/b", 7)


def test_only_the_latest_sessions_are_kept() -> None:
    sessions = Sessions(most=3)
    for number in range(10):
        sessions.ended(entry(brief=1), f"s{number}", A, 0.0)
        sessions.ended(entry(brief=1), "kept", A, 0.0)
    assert len(sessions) == 3
    assert seen(sessions, B, 1.0, key="kept")[0]
    assert seen(sessions, B, 1.0, key="s0") == ("", 0)
