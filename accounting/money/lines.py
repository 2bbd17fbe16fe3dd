"""The lines of a request as pages tell them: with the formula of their cost."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from accounting.models import LedgerEntry, RequestRecord
from accounting.models.ledger import ADJUSTMENT
from accounting.templatetags.console import grouped, rate, spaced

TIMES = "\u00d7"
_MULTIPLIERS = {"batch": gettext_lazy("batch"), "geo": pgettext_lazy("a price by region", "geo")}
MOST_LINES = 100  # that the page of one request shows
# The ledger's column, the price's name.
RATES = (
    ("tokens_input", "input"),
    ("tokens_cache_read", "cache_read"),
    ("tokens_cache_write_5m", "cache_write_5m"),
    ("tokens_cache_write_1h", "cache_write_1h"),
    ("tokens_output", "output"),
)


def lines_of(record: RequestRecord) -> list[LedgerEntry]:
    """The lines of a request, in order, adjustments after them."""
    return list(LedgerEntry.objects.filter(request_id=record.request_id).order_by("number")[:MOST_LINES])


def formula(entry: LedgerEntry) -> str:
    """How the cost of a line comes about, with its numbers."""
    if entry.kind == ADJUSTMENT:
        return _("corrects line %(line)s: %(reason)s") % {"line": entry.adjusts, "reason": entry.reason}
    price = entry.price if isinstance(entry.price, dict) else {}
    counted = ((int(getattr(entry, column)), name) for column, name in RATES)
    parts = [f"{grouped(count)} {spaced(name)} {TIMES} ${_rate(price, name)}" for count, name in counted if count]
    text = f"({' + '.join(parts)}) / {grouped(1_000_000)}" if parts else ""
    multipliers = price.get("multipliers")
    for name, value in multipliers.items() if isinstance(multipliers, dict) else ():
        text += f" {TIMES} {value} ({_MULTIPLIERS.get(name, name)})"
    if entry.web_searches:
        each = f"${_rate(price, 'web_search_per_1000')} / {grouped(1000)}"
        searches = f"{entry.web_searches} {_('web searches')} {TIMES} {each}"
        text = f"{text} + {searches}" if text else searches
    return text or _("no tokens")


def _rate(price: Mapping[str, Any], name: str) -> str:
    return rate(str(price[name])) if name in price else "?"
