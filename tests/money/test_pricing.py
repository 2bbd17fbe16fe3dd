"""The cost of usage to the last digit, from a table worked out by hand; which price counts; which models the list knows."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.money.price_book import PriceBook, canonical, same_model
from accounting.money.price_list import LIST_2026_11_20
from accounting.money.pricing import MOST_COST, merged, price_usage, total_of
from accounting.money.usage import MOST_TOKENS, Usage
from tests.money.books import NOW, book, shipped_book
from tests.money.usage_cases import ALL, CASES, PRICES, UNKNOWN_PRICE, Case

BOOK = book(PRICES, UNKNOWN_PRICE)
SHIPPED = shipped_book(LIST_2026_11_20)
FIVE = {"input": 1, "output": 1, "cache_write_5m": 1, "cache_write_1h": 1, "cache_read": 1}


def used(*reports: Any, model: str = "") -> Usage:
    usage = Usage()
    usage.named(model)
    for reported in reports:
        usage.update(reported)
    return usage


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_cost_worked_out_by_hand(case: Case) -> None:
    usage = used(case.usage) if case.usage is not None else used(*case.reports)
    lines = price_usage(usage, "anthropic", f"claude-{case.model}-1", NOW, BOOK)
    assert total_of(lines) == Decimal(case.cost)
    assert all(line.cost_usd.as_tuple().exponent == -12 for line in lines)
    assert lines[0].price is not None
    assert lines[0].price["band"] == case.band
    assert any(line.estimated for line in lines) == case.estimated
    assert [line.number for line in lines] == list(range(len(lines)))


def test_there_are_enough_cases() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60


def test_a_price_as_records_keep_it() -> None:
    usage = used({**ALL, "service_tier": "batch", "inference_geo": "us"})
    (line,) = price_usage(usage, "anthropic", "claude-plain-1", NOW, BOOK, attempt=2)
    assert (line.kind, line.attempt, line.provider, line.model) == ("usage", 2, "anthropic", "claude-plain-1")
    assert line.price == {
        "id": 1,
        "provider": "*",
        "model": "*claude-plain*",
        "valid_from": "2025-09-29T00:00:00Z",
        "input": "3",
        "output": "15",
        "cache_write_5m": "3.75",
        "cache_write_1h": "6",
        "cache_read": "0.3",
        "band": "standard",
        "multipliers": {"batch": "0.5", "geo": "1.1"},
        "web_search_per_1000": "10",
    }


def test_an_unknown_model_has_no_row() -> None:
    (line,) = price_usage(used(ALL), "anthropic", "nobody", NOW, PriceBook())
    assert line.price is not None
    assert (line.price["id"], line.price["valid_from"], line.price["input"]) == (None, None, "15")
    assert line.cost_usd == Decimal("0.009915")


def test_lines_name_their_model_and_kind() -> None:
    iterations = [
        {"type": "message", "input_tokens": 250_000, "output_tokens": 1},
        {"type": "message", "input_tokens": 10, "output_tokens": 1},
        {"type": "compaction", "input_tokens": 5, "output_tokens": 5},
        {"type": "advisor_message", "input_tokens": 7, "output_tokens": 7, "model": "claude-adviser-1"},
    ]
    usage = used({"input_tokens": 250_010, "output_tokens": 2, "iterations": iterations})
    lines = price_usage(usage, "anthropic", "claude-plain-1", NOW, BOOK)
    found = [(line.kind, line.model, line.tokens_input, (line.price or {})["band"]) for line in lines]
    assert found == [
        ("usage", "claude-plain-1", 250_000, "long_context"),
        ("usage", "claude-plain-1", 10, "standard"),
        ("compaction", "claude-plain-1", 5, "standard"),
        ("advisor", "claude-adviser-1", 7, "standard"),
    ]


def test_calls_of_one_kind_that_have_different_prices_are_lines_of_their_own() -> None:
    """One names the model that was asked for, the other none: then it is the model that has answered."""
    iterations = [
        {"type": "message", "input_tokens": 10, "output_tokens": 0},
        {"type": "compaction", "input_tokens": 1000, "output_tokens": 0},
        {"type": "compaction", "input_tokens": 1000, "output_tokens": 0, "model": "claude-plain-1"},
    ]
    usage = used({"input_tokens": 10, "output_tokens": 0, "iterations": iterations}, model="claude-second-1")
    lines = [line for line in price_usage(usage, "a", "claude-plain-1", NOW, BOOK) if line.kind == "compaction"]
    assert len({(line.price or {})["id"] for line in lines}) == 2
    for line in lines:
        assert line.cost_usd == Decimal(line.tokens_input) * Decimal((line.price or {})["input"]) / 1_000_000


# Which model's price


def test_another_model_that_the_answer_names_is_the_one_that_is_paid() -> None:
    lines = price_usage(used({"input_tokens": 1000, "output_tokens": 0}, model="claude-second-1"), "a",
                        "claude-plain-1", NOW, BOOK)  # fmt: skip
    assert total_of(lines) == Decimal("0.001")


def test_a_model_without_a_price_that_the_answer_names_is_paid_as_the_one_that_was_asked_for() -> None:
    lines = price_usage(used({"input_tokens": 1000}, model="mystery"), "a", "claude-plain-1", NOW, BOOK)
    assert total_of(lines) == Decimal("0.003")


def test_an_id_that_says_nothing_is_paid_by_the_answers_model() -> None:
    profile = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"
    lines = price_usage(used({"input_tokens": 1000}, model="claude-plain-1"), "a", profile, NOW, BOOK)
    assert total_of(lines) == Decimal("0.003")


def test_a_price_of_ones_own_for_what_was_asked_stands_before_the_lists_for_what_was_answered() -> None:
    mixed = PriceBook(1, [*book([{**FIVE, "model": "claude-mine"}]).rows, *SHIPPED.rows])
    lines = price_usage(used({"input_tokens": 1000}, model="claude-opus-5"), "a", "claude-mine", NOW, mixed)
    assert total_of(lines) == Decimal("0.001")


def test_the_same_model_in_other_words_keeps_the_price_of_the_id_that_was_asked() -> None:
    entries = [
        {**FIVE, "model": "us.anthropic.claude-opus-5-5", "input": 7},
        {**FIVE, "model": "claude-opus-5-5", "input": 5},
    ]
    usage = used({"input_tokens": 1000}, model="claude-opus-5-5")
    assert total_of(price_usage(usage, "a", "us.anthropic.claude-opus-5-5", NOW, book(entries))) == Decimal("0.007")


# Which row


@pytest.mark.parametrize(
    ("others", "winner"),
    [
        pytest.param([{"model": "*"}, {"model": "claude-*"}, {"model": "claude-x*"}], 2, id="more literal characters"),
        pytest.param([{"model": "claude-x-1"}, {"model": "claude-x-*"}], 0, id="a name before a pattern"),
        pytest.param([{"model": "claude-x-1"}, {"model": "*", "provider": "p"}], 1, id="a provider before a model"),
        pytest.param(
            [{"model": "claude-x-1"}, {"model": "claude-x-1", "provider": "q"}], 0, id="not another provider's"
        ),
        pytest.param(
            [{"model": "claude-x-1", "valid_from": "2026-01-01"}, {"model": "claude-x-1", "valid_from": "2026-06-01"}],
            1,
            id="the later one",
        ),
        pytest.param(
            [{"model": "claude-x-1", "valid_from": "2026-01-01"}, {"model": "claude-x-1", "valid_from": "2027-06-01"}],
            0,
            id="none of the future",
        ),
        pytest.param(
            [{"model": "claude-x-*", "valid_from": "2026-06-01"}, {"model": "claude-x-1", "valid_from": "2026-01-01"}],
            1,
            id="the more specific before the later one",
        ),
        pytest.param(
            [{"model": "claude-x-*"}, {"model": "claude-x-1", "valid_from": "2027-01-01"}],
            0,
            id="the less specific until the other one begins",
        ),
        pytest.param([{"model": "*x-1"}, {"model": "claude-y-1"}], 0, id="only what fits"),
    ],
)
def test_the_most_specific_row_in_force_counts(others: list[dict[str, Any]], winner: int) -> None:
    found = book([{**FIVE, **each} for each in others]).row("p", "claude-x-1", NOW)
    assert found is not None
    assert found.id == winner + 1


def test_a_row_of_ones_own_stands_before_every_shipped_one() -> None:
    mixed = PriceBook(1, [*book([{**FIVE, "model": "*"}]).rows, *SHIPPED.rows])
    found = mixed.row("p", "claude-opus-5", NOW)
    assert found is not None
    assert not found.shipped


def test_what_was_looked_up_is_kept_within_bounds() -> None:
    bounded = book([{**FIVE, "model": "*"}])
    for number in range(10_000):
        assert bounded.row("p", f"model-{number}", NOW) is not None
    assert len(bounded._known) <= 4096


# The list that ships


@pytest.mark.parametrize(
    ("model", "input_", "read"),
    [
        ("claude-fable-5-2", "8", "0.20"),
        ("us.anthropic.claude-fable-5-1", "10", "0.25"),
        ("claude-mythos-5", "10", "1.00"),
        ("claude-opus-5-5", "4", "0.20"),
        ("global.anthropic.claude-opus-5-5", "4", "0.20"),
        ("claude-opus-5", "5", "0.50"),
        ("eu.anthropic.claude-opus-5", "5", "0.50"),
        ("us.anthropic.claude-opus-4-6-v1", "5", "0.50"),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", "5", "0.50"),
        ("claude-opus-4-5@20251101", "5", "0.50"),
        ("claude-opus-4-1-20250805", "15", "1.50"),
        ("claude-opus-4-20250514", "15", "1.50"),
        ("anthropic.claude-opus-4-20250514-v1:0:200k", "15", "1.50"),
        ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-5", "2", "0.20"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "3", "0.30"),
        ("claude-sonnet-4-5", "3", "0.30"),
        ("claude-sonnet-4@20250514", "3", "0.30"),
        ("claude-3-5-sonnet-v2@20241022", "3", "0.30"),
        ("claude-3-7-sonnet-latest", "3", "0.30"),
        ("claude-sonnet-5-5", "2", "0.10"),
        ("claude-haiku-5-5", "0.10", "0.01"),
        ("claude-haiku-4-5-20251001", "1", "0.10"),
        ("claude-haiku-4-5@default", "1", "0.10"),
        ("claude-3-5-haiku-20241022", "0.80", "0.08"),
    ],
)
def test_every_spelling_of_a_listed_model_has_its_price(model: str, input_: str, read: str) -> None:
    found = SHIPPED.row("anybody", model, NOW)
    assert found is not None
    assert (found.rates.input, found.rates.cache_read) == (Decimal(input_), Decimal(read))


@pytest.mark.parametrize(
    "model",
    ["claude-opus-5-6", "claude-opus-6", "claude-opus-4-9", "claude-opus-4-55", "claude-opus", "claude", "opus-5", "",
     "my-claude-opus-5", "claude-opus-5-turbo", "gpt-5", "claude-sonnet-5-5-5", "*", "claude-haiku-5-5-mini-20270101"],
)  # fmt: skip
def test_other_names_have_none(model: str) -> None:
    assert SHIPPED.row("anybody", model, NOW) is None


def test_a_price_that_fell_was_higher_before() -> None:
    at = [datetime(2026, 10, day, 23, 59, 59, tzinfo=UTC).timestamp() for day in (6, 7)]
    found = [SHIPPED.row("a", "claude-sonnet-5-5", moment) for moment in at]
    assert [each.rates.cache_read for each in found if each] == [Decimal("0.20"), Decimal("0.10")]


@pytest.mark.parametrize(
    ("model", "tokens", "regional", "cost"),
    [
        ("claude-haiku-5-5", 100_000, False, "0.01"),
        ("claude-haiku-5-5", 100_001, False, "0.0500005"),
        ("us.anthropic.claude-opus-5-5", 1000, True, "0.0044"),
        ("global.anthropic.claude-opus-5-5", 1000, False, "0.004"),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", 1000, True, "0.015"),
    ],
)
def test_costs_by_the_list(model: str, tokens: int, regional: bool, cost: str) -> None:
    lines = price_usage(used({"input_tokens": tokens}), "a", model, NOW, SHIPPED, regional=regional)
    assert total_of(lines) == Decimal(cost)


def test_writing_costs_the_same_multiple_of_input_throughout_the_list() -> None:
    for each in SHIPPED.rows:
        for rates in filter(None, (each.rates, each.long, each.fast)):
            assert rates.cache_write_5m == rates.input * Decimal("1.25"), each.model
            assert rates.cache_write_1h == rates.input * 2, each.model
            assert rates.output == rates.input * 5, each.model


def test_spellings() -> None:
    assert same_model("us.anthropic.claude-opus-5-5", "claude-opus-5-5")
    assert not same_model("claude-opus-5", "claude-opus-5-5")
    assert not same_model("llama", "mistral")
    assert canonical("a" * 300) == ""


# The dearest that a token can be


def test_the_ceiling_of_several_models() -> None:
    ceiling = BOOK.ceiling([("a", "claude-plain-1"), ("a", "claude-second-1")], NOW)
    assert ceiling == (66_000, 165_000)  # fast, written for an hour, in a dear region: 60 and 150 dollars, times 1.1
    assert BOOK.ceiling([("a", "claude-plain-1")], NOW, fast=False) == (13_200, 24_750)
    assert BOOK.ceiling([("a", "claude-plain-1")], NOW, fast=False, prompt=200_000) == (6_600, 16_500)
    assert BOOK.ceiling([("a", "claude-second-1"), ("a", "mystery")], NOW) == (30_000, 75_000)
    assert BOOK.ceiling([], NOW) == (0, 0)


def test_the_ceiling_is_rounded_up() -> None:
    tiny = book([{**dict.fromkeys(FIVE, 0.000001), "model": "*"}])
    assert tiny.ceiling([("a", "x")], NOW) == (1, 1)


# Anything at all


NUMBERS = st.one_of(st.integers(-5, 10**22), st.none(), st.booleans(), st.text(max_size=3), st.floats())
FIELDS = st.sampled_from(
    ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation",
     "server_tool_use", "service_tier", "speed", "inference_geo", "iterations", "output_tokens_details", "x"]
)  # fmt: skip
NESTED = st.dictionaries(
    st.sampled_from(["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "web_search_requests", "type", "model"]),
    st.one_of(NUMBERS, st.sampled_from(["message", "compaction", "advisor_message", "fallback_message"])),
)
REPORTS = st.dictionaries(FIELDS, st.one_of(NUMBERS, NESTED, st.lists(st.one_of(NESTED, NUMBERS), max_size=3)))


@given(st.lists(st.one_of(REPORTS, NUMBERS), max_size=4), st.integers(0, 10**7), st.integers(0, 10**7))
def test_any_report_has_a_finite_price_and_never_less_than_none(reports: list[Any], size: int, said: int) -> None:
    usage = used(*reports)
    usage.complete(size=size, characters=said)
    lines = price_usage(usage, "a", "claude-plain-1", NOW, BOOK)
    assert all(0 <= line.cost_usd <= MOST_COST for line in lines)
    assert all(line.tokens_input >= 0 for line in lines)
    if size >= 4 and not usage.input_known:
        assert usage.prompt > 0


def test_more_than_anything_can_cost_is_cut_and_marked() -> None:
    dear = book([{**dict.fromkeys(FIVE, 10_000), "model": "*", "geo_multipliers": {"us": 100}}])
    report = {"input_tokens": MOST_TOKENS, "output_tokens": MOST_TOKENS, "inference_geo": "us"}
    (line,) = price_usage(used(report), "a", "x", NOW, dear)
    assert (line.cost_usd, line.estimated) == (MOST_COST, True)


def test_lines_of_many_calls_are_added_up_by_price() -> None:
    lines = []
    for tokens in (1000, 300_000, 2000):
        lines += price_usage(used({"input_tokens": tokens, "service_tier": "batch"}), "a", "claude-plain-1", NOW, BOOK)
    short, long = merged(lines)
    assert (short.tokens_input, short.cost_usd) == (3000, Decimal("0.0045"))
    assert (long.tokens_input, long.cost_usd, long.number) == (300_000, Decimal("0.9"), 1)


# What nobody has told


@pytest.mark.parametrize(
    ("reports", "input_", "output"),
    [
        ([], 1000, 50),
        ([None], 1000, 50),
        (["nonsense"], 1000, 50),
        ([{}], 1000, 50),
        ([{"output_tokens": 7}], 1000, 7),
        ([{"input_tokens": 7}], 7, 50),
        ([{"input_tokens": -1, "output_tokens": True}], 1000, 50),
        ([{"input_tokens": None, "cache_read_input_tokens": 900, "output_tokens": 7}], 100, 7),
        ([{"input_tokens": 10**9, "output_tokens": 7}], 1000, 7),
        ([{"input_tokens": "7000", "output_tokens": 700.0}], 7000, 700),
        ([{"input_tokens": "12", "output_tokens": 5.0}], 1000, 50),
        ([{"input_tokens": "12", "output_tokens": "5"}, {"input_tokens": 12, "output_tokens": 5}], 12, 5),
        ([{"input_tokens": "9" * 5000, "output_tokens": "1e9"}], 1000, 50),
        ([{"input_tokens": 7.5, "output_tokens": float("inf")}], 1000, 50),
    ],
)
def test_what_was_not_told_is_estimated_and_marked(reports: list[Any], input_: int, output: int) -> None:
    usage = used(*reports)
    usage.complete(size=4000, characters=200)
    assert (usage.input, usage.output, usage.doubtful) == (input_, output, True)
    assert usage.doubts


def test_a_long_answer_has_not_used_nothing() -> None:
    usage = used({"input_tokens": 5, "output_tokens": 0})
    usage.complete(size=4000, characters=399)
    assert not usage.doubtful
    usage.complete(size=4000, characters=400)
    assert (usage.output, usage.doubtful) == (100, True)
