"""Costs as FOCUS 1.2 (FinOps Open Cost and Usage Specification) wants them, out of the ledger, a day at a time.

A row is a day's usage of one kind of token, by team, project, provider, model, tags and price. The costs of the kinds are
their tokens times the price; what twelve decimal places of the single lines leave over is added to the largest, so that the
rows of a period add up to its cost exactly. Adjustments are rows of their own, without a quantity.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from accounting.models.ledger import ADJUSTMENT
from accounting.money.contributions import LINES, TOKENS, Statement
from accounting.money.dialect import beginning, moment, read_money
from accounting.money.periods import floor, following
from accounting.money.reports import Question

COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
    "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceIssuerName",
    "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId",
    "SkuMeter", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags", "x_Team", "x_Project",
)  # fmt: skip
# In the order of `TOKENS`: the price's name, what people call it.
_KINDS = (
    ("input", "Input tokens"),
    ("output", "Output tokens"),
    ("cache_read", "Cache read tokens"),
    ("cache_write_5m", "Cache write tokens, 5 minutes"),
    ("cache_write_1h", "Cache write tokens, 1 hour"),
)
_SEARCHES = "Web searches"
_EXACT = Context(prec=60)
_MILLION, _THOUSAND = Decimal(1_000_000), Decimal(1000)
_NAMES = ("team", "project", "provider", "model")


@dataclass(frozen=True, slots=True)
class _Group:
    """Lines of a day with the same names, tags and price, summed."""

    names: dict[str, str]
    tags: str
    price: Mapping[str, Any]
    adjustment: bool
    corrects_the_past: bool
    counts: tuple[int, ...]  # by `_KINDS`, then searches
    calls: int
    cost: Decimal


@dataclass(slots=True)
class _Charge:
    """A kind's share: how much, in which unit, at which price for how many of it."""

    meter: str
    quantity: Decimal | None
    unit: str = "Tokens"
    price: Decimal | None = None
    lot: Decimal = _MILLION
    cost: Decimal = Decimal(0)


def charges(question: Question, now: datetime) -> Iterator[tuple[Any, ...]]:
    """Rows in the order of `COLUMNS`, of a question's period (which has both ends) and teams; nothing lies after `now`."""
    assert question.since is not None
    assert question.until is not None
    start, until = question.since, min(question.until, following(floor(now, "day"), "day"))
    while start < until:
        day = floor(start, "day")
        end = min(following(day, "day"), until)
        for group in _groups(start, end, [value for _, value in question.names]):
            for charge in _shares(group):
                yield _row(group, charge, day)
        start = end


def _groups(start: datetime, end: datetime, teams: list[str]) -> Iterator[_Group]:
    month_at, month_posted = beginning("month", "l.at"), beginning("month", "l.posted_at")
    adjusting = f"CASE WHEN l.kind = '{ADJUSTMENT}' THEN 1 ELSE 0 END"
    correcting = f"CASE WHEN l.kind = '{ADJUSTMENT}' AND {month_posted} > {month_at} THEN 1 ELSE 0 END"
    names = ", ".join(f'l."{name}"' for name in _NAMES)
    price = f"CASE WHEN l.kind = '{ADJUSTMENT}' THEN NULL ELSE CAST(l.price AS text) END"
    sums = ", ".join(f"SUM(l.{name})" for name in (*TOKENS, "web_searches"))
    sql = (
        f"SELECT {names}, CAST(l.tags AS text), {price}, {adjusting}, {correcting}, {sums}, COUNT(*), SUM(l.cost_usd) "
        f"FROM {LINES} l WHERE l.at >= %s AND l.at < %s{' AND l.team = %s' * len(teams)} "
        "GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"
    )
    for row in Statement(sql, (moment(start), moment(end), *teams)).run():
        found = json.loads(row[5]) if row[5] else None
        yield _Group(
            dict(zip(_NAMES, row[:4], strict=True)),
            row[4] or "{}",
            found if isinstance(found, dict) else {},
            bool(row[6]),
            bool(row[7]),
            tuple(int(value) for value in row[8:14]),
            int(row[14]),
            read_money(row[15]),
        )


def _shares(group: _Group) -> list[_Charge]:
    """The group's cost by kind."""
    if group.adjustment:
        return [_Charge("Adjustment", None, cost=group.cost)]
    shares = _priced(group)
    if not shares:
        shares = [_Charge("Calls", Decimal(group.calls), "Calls", lot=Decimal(1))]
    for share in shares:
        if share.price is not None and share.quantity is not None:
            share.cost = _EXACT.divide(_EXACT.multiply(share.quantity, share.price), share.lot)
            share.cost = _EXACT.quantize(share.cost, Decimal(1).scaleb(-12))
    rest = group.cost - sum((share.cost for share in shares), Decimal(0))
    max(shares, key=lambda share: share.cost).cost += rest
    return shares


def _priced(group: _Group) -> list[_Charge]:
    factor = _factor(group.price.get("multipliers"))
    shares = []
    for count, (rate, meter) in zip(group.counts[:-1], _KINDS, strict=True):
        if count:
            price = _number(group.price.get(rate))
            price = None if price is None else _EXACT.multiply(price, factor)
            shares.append(_Charge(meter, Decimal(count), price=price))
    if searches := group.counts[-1]:
        price = _number(group.price.get("web_search_per_1000"))
        shares.append(_Charge(_SEARCHES, Decimal(searches), "Searches", price, _THOUSAND))
    return shares


def _factor(multipliers: Any) -> Decimal:
    found = Decimal(1)
    for value in multipliers.values() if isinstance(multipliers, dict) else ():
        found = _EXACT.multiply(found, _number(value) or Decimal(1))
    return found


def _number(value: Any) -> Decimal | None:
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _row(group: _Group, charge: _Charge, day: datetime) -> tuple[Any, ...]:
    names, month = group.names, floor(day, "month")
    account = "/".join(name for name in (names["team"], names["project"]) if name)
    unit = charge.unit if charge.lot == 1 else f"{charge.lot} {charge.unit}"
    measured = charge.quantity is not None
    values = {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), charge.cost),
        **dict.fromkeys(
            ("BillingAccountId", "BillingAccountName", "InvoiceIssuerName", "ProviderName"), names["provider"]
        ),
        **dict.fromkeys(("ContractedUnitPrice", "ListUnitPrice"), charge.price),
        **dict.fromkeys(("ResourceId", "ResourceName"), names["model"]),
        **dict.fromkeys(("SubAccountId", "SubAccountName"), account),
        "BillingCurrency": "USD",
        "BillingPeriodStart": month,
        "BillingPeriodEnd": following(month, "month"),
        "ChargeCategory": "Adjustment" if group.adjustment else "Usage",
        "ChargeClass": "Correction" if group.corrects_the_past else None,
        "ChargeDescription": f"{charge.meter}, {names['model']}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": day,
        "ChargePeriodEnd": following(day, "day"),
        "ConsumedQuantity": charge.quantity,
        "ConsumedUnit": charge.unit if measured else None,
        "PricingCategory": "Standard" if measured else None,
        "PricingQuantity": _EXACT.divide(charge.quantity, charge.lot) if charge.quantity is not None else None,
        "PricingUnit": unit if measured else None,
        "PublisherName": "Anthropic",
        "ResourceType": "Model",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": "Claude",
        "SkuId": f"{names['provider']}/{names['model']}/{charge.meter}" if measured else None,
        "SkuMeter": charge.meter if measured else None,
        "SkuPriceId": str(group.price["id"]) if measured and group.price.get("id") is not None else None,
        "Tags": group.tags,
        "x_Team": names["team"],
        "x_Project": names["project"],
    }
    return tuple(values[name] for name in COLUMNS)
