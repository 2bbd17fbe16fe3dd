"""Which limits apply to a caller and a request."""

from accounting.access.grant import Grant
from accounting.limits.book import LimitBook
from accounting.limits.terms import (
    EVERYTHING,
    KEY,
    NANO,
    PROJECT,
    REQUESTS,
    TEAM,
    USER,
    BudgetTerms,
    RateTerms,
    Scope,
)

SCOPES = [
    EVERYTHING,
    Scope(TEAM, 1, "platform", "platform"),
    Scope(PROJECT, 2, "platform/default", "platform"),
    Scope(USER, 3, "ada@example.org"),
    Scope(KEY, 4, "platform/default/ci", "platform"),
]


def grant(**fields: object) -> Grant:
    values = {
        "key_id": 4,
        "key": "ci",
        "key_prefix": "gw_x",
        "kind": "personal",
        "team": "platform",
        "project": "default",
    }
    return Grant(**{**values, "user": "ada@example.org", **fields})  # type: ignore[arg-type]


def book(**fields: object) -> LimitBook:
    budgets = [BudgetTerms(number, scope, "day", NANO, **fields) for number, scope in enumerate(SCOPES)]  # type: ignore[arg-type]
    rates = [RateTerms(str(number), scope, REQUESTS, 5) for number, scope in enumerate(SCOPES)]
    return LimitBook(budgets=tuple(budgets), rates=tuple(rates))


def applying(of: LimitBook, caller: Grant) -> list[int]:
    return [terms.id for terms in of.of(caller).budgets]


def test_every_scope_of_a_caller_applies() -> None:
    assert applying(book(), grant()) == [0, 1, 2, 3, 4]
    assert len(book().of(grant()).rates) == 5


def test_limits_of_others_do_not() -> None:
    assert applying(book(), grant(key_id=9)) == [0, 1, 2, 3]
    assert applying(book(), grant(user="bob@example.org", key_id=9)) == [0, 1, 2]
    assert applying(book(), grant(project="other", user="", key_id=9)) == [0, 1]
    assert applying(book(), grant(team="other", user="", key_id=9)) == [0]


def test_a_project_of_the_same_name_in_another_team_is_another_one() -> None:
    assert 2 not in applying(book(), grant(team="other"))


def test_a_tag_narrows_a_limit_to_keys_that_have_it() -> None:
    tagged = book(tag="cost_center=4711")
    assert applying(tagged, grant(tags={"cost_center": "4711"})) == [0, 1, 2, 3, 4]
    assert applying(tagged, grant(key_id=9, tags={"cost_center": "4712"})) == []
    assert applying(tagged, grant(key_id=0)) == []


def test_callers_without_a_key_are_told_apart() -> None:
    of = book()
    one = of.of(grant(key_id=0, user="ada@example.org"))
    other = of.of(grant(key_id=0, user="bob@example.org"))
    assert (len(one.budgets), len(other.budgets)) == (4, 3)
    assert one.caller != other.caller


def test_a_pattern_is_compared_with_the_name_asked_for_and_the_upstreams_names() -> None:
    limits = book(model="claude-opus-*").of(grant())
    assert limits.plan("claude-opus-4", (("p", "x"),), stream=False, now=0).budgets
    assert limits.plan("opus", (("p", "claude-opus-4-1-20250805"),), stream=False, now=0).budgets
    assert not limits.plan("sonnet", (("p", "claude-sonnet-4-5"),), stream=False, now=0).budgets


def test_a_plan_is_made_anew_when_a_period_ends() -> None:
    limits = book().of(grant())
    first = limits.plan("m", stream=False, now=0)
    assert limits.plan("m", stream=False, now=86_399) is first
    assert limits.plan("m", stream=False, now=86_400).budgets[0].key != first.budgets[0].key


def test_clients_cannot_fill_the_memory_with_names() -> None:
    limits = book().of(grant())
    for number in range(2000):
        limits.plan(f"name-{number}", stream=False, now=0)
    assert len(limits._plans) <= 256
