"""The life of a name: its stages, the headers that tell of them, and what makes no sense."""

from datetime import UTC, datetime, timedelta

import pytest

from routing.lifecycle import Deprecation, check_deprecation
from routing.links import AliasLink, RouteLink, broken_aliases, broken_routes

DAY = datetime(2026, 11, 1, tzinfo=UTC)
AT = DAY.timestamp()


@pytest.mark.parametrize(
    ("since", "until", "now", "stage"),
    [
        (AT, None, AT - 1, "in use"),
        (AT, None, AT, "deprecated"),
        (AT, AT + 10, AT + 9.9, "deprecated"),
        (AT, AT + 10, AT + 10, "retired"),
        (AT, AT - 10, AT - 5, "retired"),
    ],
)
def test_stages_follow_the_dates(since: float, until: float | None, now: float, stage: str) -> None:
    assert Deprecation(since, until).stage(now) == stage


def test_headers_are_those_of_the_standards() -> None:
    end = Deprecation(AT, AT + 86400, "claude-new")
    assert end.headers(AT - 1) == []
    assert end.headers(AT + 1) == [
        (b"deprecation", b"@1793491200"),
        (b"sunset", b"Mon, 02 Nov 2026 00:00:00 GMT"),
        (b"x-gateway-successor", b"claude-new"),
    ]
    assert Deprecation(AT).headers(AT) == [(b"deprecation", b"@1793491200")]


@pytest.mark.parametrize(
    ("since", "until", "successor", "then", "field"),
    [
        (None, None, "", "forward", ""),
        (DAY, None, "", "forward", ""),
        (DAY, DAY + timedelta(1), "x", "forward", ""),
        (DAY, DAY + timedelta(1), "", "refuse", ""),
        (DAY, DAY + timedelta(1), "", "forward", "successor"),
        (DAY, DAY, "x", "forward", "retires_on"),
        (DAY, None, "claude-*", "forward", "successor"),
        (DAY, None, "a b", "forward", "successor"),
        (DAY, None, "a\r\nset-cookie:x", "forward", "successor"),
    ],
)
def test_dates_and_successors_that_make_no_sense_are_refused(
    since: datetime | None, until: datetime | None, successor: str, then: str, field: str
) -> None:
    assert check_deprecation(since, until, successor, then)[0] == field


def alias(name: str, successor: str = "", served: bool = True) -> AliasLink:
    return AliasLink(name, served, successor)


@pytest.mark.parametrize(
    ("aliases", "said"),
    [
        ([alias("a", "b"), alias("b")], []),
        ([alias("a", "claude-x"), alias("claude-*")], []),
        ([alias("a", "b"), alias("b", served=False)], ["Nothing serves b: no enabled alias fits that name."]),
        ([alias("a", "b", served=False)], []),
        ([alias("a", "a")], ["The successors lead in a circle: a → a."]),
        ([alias("claude-*", "claude-x")], ["The successors lead in a circle: claude-* → claude-*."]),
        (
            [alias("a", "b"), alias("b", "c"), alias("c", "a")],
            [
                "The successors lead in a circle: a → b → c → a.",
                "The successors lead in a circle: b → c → a → b.",
                "The successors lead in a circle: c → a → b → c.",
            ],
        ),
        ([alias("z", "a"), alias("a", "b"), alias("b", "a")], ["a → b → a", "b → a → b"]),
        ([alias("x", "claude-a-b"), alias("claude-*", "x"), alias("claude-a-*")], []),
    ],
)
def test_successors_must_be_served_and_must_not_lead_in_a_circle(aliases: list[AliasLink], said: list[str]) -> None:
    found = broken_aliases(aliases)
    assert len(found) == len(said)
    assert all(words in each.text for words, each in zip(said, found, strict=True))


def route(name: str, *leads_to: str, enabled: bool = True) -> RouteLink:
    return RouteLink(name, enabled, leads_to)


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ([route("a", "b"), route("b")], []),
        ([route("a", "b", "c"), route("b", "c"), route("c")], []),
        ([route("a", "b", "x"), route("b")], [("a", 1, "There is no route x.")]),
        ([route("a", "b"), route("b", enabled=False)], [("a", 0, "The route b is disabled.")]),
        ([route("a", "b", enabled=False), route("b", enabled=False)], []),
        ([route("a", "a")], [("a", 0, "This leads in a circle: a → a.")]),
        (
            [route("a", "x", "b"), route("b", "c"), route("c", "x", "a"), route("x")],
            [
                ("a", 1, "This leads in a circle: a → b → c → a."),
                ("b", 0, "This leads in a circle: b → c → a → b."),
                ("c", 1, "This leads in a circle: c → a → b → c."),
            ],
        ),
        ([route("z", "a"), route("a", "b"), route("b", "a")], [("a", 0, "a → b → a"), ("b", 0, "b → a → b")]),
    ],
)
def test_conditions_must_lead_to_enabled_routes_and_not_in_a_circle(
    routes: list[RouteLink], said: list[tuple[str, int, str]]
) -> None:
    found = broken_routes(routes)
    assert [(each.name, each.place) for each in found] == [(name, place) for name, place, _ in said]
    assert all(words in each.text for (_, _, words), each in zip(said, found, strict=True))
