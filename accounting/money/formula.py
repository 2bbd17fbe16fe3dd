"""How a record's cost came about, line by line, with its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounting.models import RequestRecord
from accounting.templatetags.console import dollars, grouped, rate, spaced

KINDS = (
    (_("input"), "tokens_input", "input"),
    (_("cache write, 5 min"), "tokens_cache_write_5m", "cache_write_5m"),
    (_("cache write, 1 h"), "tokens_cache_write_1h", "cache_write_1h"),
    (_("cache read"), "tokens_cache_read", "cache_read"),
    (_("output"), "tokens_output", "output"),
)
BANDS = {"long_context": _("prices of long prompts"), "fast": _("prices of fast mode")}
EACH = _("$%(price)s / million")
TIMES = "\N{MULTIPLICATION SIGN}"
WORDS = {"batch": _("batch"), "geo": _("region")}


@dataclass(frozen=True, slots=True)
class Term:
    """One product: how many, at which price, what it makes before multipliers."""

    what: Any
    count: str
    price: str
    amount: str


@dataclass(frozen=True, slots=True)
class Formula:
    """The terms of a price, the factors that they are multiplied with, what is added unmultiplied, and the sum."""

    title: str
    terms: list[Term]
    factors: list[str]
    searches: Term | None
    sum: str
    row: str
    unknown: bool


def formulas_of(record: RequestRecord) -> list[Formula]:
    """The sums that make the record's cost; none for a record without a price, or whose cost is of several calls."""
    found = formulas([record])
    return found if [each.sum for each in found] == [dollars(record.cost_usd)] else []


def formulas(lines: Sequence[Any]) -> list[Formula]:
    """A sum for each line that has a price: a record, or lines of the ledger."""
    return [_formula(line.price, line, spaced(getattr(line, "kind", ""))) for line in lines if line.price]


def _formula(price: Mapping[str, Any], counts: Any, title: str) -> Formula:
    terms, total = [], Decimal(0)
    for what, column, name in KINDS:
        count = int(getattr(counts, column))
        if count:
            each = Decimal(str(price[name]))
            amount = Decimal(count) * each / 1_000_000
            terms.append(Term(what, grouped(count), str(EACH) % {"price": rate(each)}, dollars(amount)))
            total += amount
    factors = []
    for name, value in (price.get("multipliers") or {}).items():
        factors.append(f"{TIMES} {value} ({WORDS.get(name, name)})")
        total *= Decimal(str(value))
    searches = None
    if counts.web_searches:
        each = Decimal(str(price.get("web_search_per_1000", "10")))
        amount = each * counts.web_searches / 1000
        shown = f"${rate(each)} / {grouped(1000)}"
        searches = Term(_("web searches"), grouped(counts.web_searches), shown, dollars(amount))
        total += amount
    return Formula(title, terms, factors, searches, dollars(total), _row(price), not price.get("id"))


def _row(price: Mapping[str, Any]) -> str:
    """Which row of prices it was."""
    row = str(_("price of unknown models"))
    if price.get("id"):
        since = str(price.get("valid_from") or "")[:10]
        row = _("price {id}: {model} from {since}").format(id=price["id"], model=price.get("model", "?"), since=since)
    band = BANDS.get(str(price.get("band")))
    return f"{row}, {band}" if band else row
