"""What a finished request or batch has on record: lines, their sums, one price; odd usage and unknown models are told."""

import json
from collections.abc import Mapping
from decimal import Decimal

import pytest

from accounting.money.entry import Attempt, Entry
from accounting.money.price_list import LIST_2026_11_20
from accounting.money.usage import Usage
from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from routing.proxy.billing import MOST_UNPRICED, Billing, is_regional
from routing.proxy.passthrough.metering import PricedResults
from routing.proxy.passthrough.owners import Owned
from routing.targets import CredentialConf, ProviderConf
from tests.money.books import NOW, book, shipped_book
from tests.money.usage_cases import ALL, PRICES, UNKNOWN_PRICE


def provider(format_: str = ANTHROPIC, region: str = "") -> ProviderConf:
    return ProviderConf(1, "main", format_, "https://api.example.com", CredentialConf("none"), region)


@pytest.fixture
def billing() -> Billing:
    made = Billing()
    made.book = book(PRICES, UNKNOWN_PRICE)
    return made


def entry(model: str = "claude-plain-1") -> Entry:
    attempts = [Attempt("main", model, 529, "busy", 1.0), Attempt("main", model, 200, "", 1.0)]
    return Entry("req_1", NOW, provider="main", upstream_model=model, attempts=attempts)


def used(reported: object) -> Usage:
    usage = Usage()
    usage.update(reported)
    return usage


def test_an_entry_has_its_lines_their_sums_and_the_answers_price(billing: Billing) -> None:
    iterations = [
        {"type": "compaction", "input_tokens": 10_000, "output_tokens": 500},
        {"type": "advisor_message", "model": "claude-adviser-1", "input_tokens": 1000, "output_tokens": 100},
    ]
    made = entry()
    billing.charge(made, used({"input_tokens": 2000, "output_tokens": 200, "iterations": iterations}), provider())
    # 0.009 for the answer, 0.0375 for the compaction, 0.0075 for the adviser
    assert [(line.kind, line.attempt, line.cost_usd) for line in made.lines] == [
        ("usage", 1, Decimal("0.009")),
        ("compaction", 1, Decimal("0.0375")),
        ("advisor", 1, Decimal("0.0075")),
    ]
    assert (made.tokens_input, made.tokens_output, made.cost_usd) == (13_000, 800, Decimal("0.054"))
    assert made.price is not None
    assert (made.price["id"], made.price["model"]) == (1, "*claude-plain*")
    assert (made.reason, made.estimated) == ("", False)


def test_a_call_that_said_nothing_keeps_its_counts_and_costs_nothing(billing: Billing) -> None:
    made = entry()
    billing.charge(made, used(ALL), provider(), kind="failed", free=True)
    assert (made.cost_usd, made.tokens_input, made.lines[0].kind) == (Decimal(0), 11, "failed")
    assert made.price is None


def test_usage_that_cannot_be_believed_marks_record_and_lines(billing: Billing) -> None:
    made = entry()
    billing.charge(made, used({"input_tokens": -1, "output_tokens": 5}), provider())
    assert (made.reason, made.estimated, made.lines[0].estimated) == ("usage_doubtful", True, True)
    told = entry()
    told.reason = "drained"
    billing.charge(told, used({"input_tokens": -1}), provider())
    assert told.reason == "drained"


def test_unknown_models_are_counted_and_told_once(billing: Billing, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        billing.charge(entry("mystery"), used(ALL), provider())
    billing.charge(entry("claude-second-1"), used({**ALL, "speed": "fast"}), provider())
    found = billing.take()
    assert {key: seen.calls for key, seen in found.items()} == {
        ("main", "mystery", False): 3,
        ("main", "claude-second-1", True): 1,
    }
    assert billing.take() == {}
    billing.charge(entry("mystery"), used(ALL), provider())
    billing.give_back(found)
    assert billing.take()["main", "mystery", False].calls == 4


def test_what_had_no_price_is_bounded(billing: Billing) -> None:
    for number in range(MOST_UNPRICED + 50):
        billing.charge(entry(f"mystery-{number}"), used(ALL), provider())
    assert len(billing.take()) == MOST_UNPRICED


@pytest.mark.parametrize(
    ("where", "model", "regional"),
    [
        (provider(), "claude-opus-5-5", False),
        (provider(BEDROCK, "us-east-1"), "us.anthropic.claude-opus-5-5", True),
        (provider(BEDROCK, "us-east-1"), "anthropic.claude-opus-5-5", True),
        (provider(BEDROCK, "us-east-1"), "global.anthropic.claude-opus-5-5", False),
        (provider(BEDROCK, "us-east-1"), "arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.x", False),
        (provider(VERTEX, "europe-west1"), "claude-opus-5-5", True),
        (provider(VERTEX, "global"), "claude-opus-5-5", False),
        (None, "claude-opus-5-5", False),
    ],
)
def test_which_endpoints_are_regional(where: ProviderConf | None, model: str, regional: bool) -> None:
    assert is_regional(where, model) is regional


def test_a_regional_endpoint_costs_more_where_the_row_says_so(billing: Billing) -> None:
    billing.book = shipped_book(LIST_2026_11_20)
    made = entry("us.anthropic.claude-opus-5-5")
    billing.charge(made, used({"input_tokens": 1000, "output_tokens": 0}), provider(BEDROCK))
    assert (made.cost_usd, (made.price or {})["multipliers"]) == (Decimal("0.0044"), {"geo": "1.1"})


# Batches


def results(*calls: Mapping[str, object]) -> bytes:
    lines = [{"custom_id": "x", "result": {"type": "succeeded", "message": message}} for message in calls]
    return "\n".join(map(json.dumps, lines)).encode()


def test_every_call_of_a_batch_has_the_band_of_its_own_prompt(billing: Billing) -> None:
    owned = Owned(1, "batch", "msgbatch_1", "main", "alpha", "one", "ci", "gw_1")
    meter = PricedResults(billing, owned, provider())
    usages = [{"input_tokens": count, "output_tokens": 0} for count in (150_000, 150_000, 250_000)]
    data = results(*({"model": "claude-plain-1", "usage": usage} for usage in usages))
    for at in range(0, len(data), 11):
        meter.feed(data[at : at + 11])
    (record,) = meter.entries()
    assert [(line.tokens_input, (line.price or {})["band"]) for line in record.lines] == [
        (300_000, "standard"),
        (250_000, "long_context"),
    ]
    # 300,000 at 3 and 250,000 at 6 dollars a million, halved
    assert (record.cost_usd, record.tokens_input, record.estimated) == (Decimal("1.2"), 550_000, False)


def test_a_batch_that_is_on_record_is_not_priced_again(billing: Billing) -> None:
    owned = Owned(1, "batch", "msgbatch_1", "main", "alpha", "one", "ci", "gw_1", priced=True)
    meter = PricedResults(billing, owned, provider())
    meter.feed(results({"model": "mystery", "usage": ALL}))
    assert meter.entries() == []
    assert billing.take() == {}
