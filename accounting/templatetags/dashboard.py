"""What templates of the dashboard need beyond the console's ways of writing numbers and times (`{% load console %}`)."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.template.loader import get_template
from django.utils import formats, timezone
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString

from accounting.models import RequestRecord
from accounting.models.money import PLACES
from accounting.money.first_bytes import LONGEST
from accounting.templatetags.console import dollars, milliseconds, plain
from gateway_project.dashboard.periods import CHOICES
from gateway_project.dashboard.role_names import ROLE_NAMES

register = template.Library()

# As audit events keep them.
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")
FIGURE = re.compile(r"(?P<dollar>\$?)(?P<amount>\d+(\.\d+)?)")
MONEY = re.compile(rf"-?\d+\.\d{{{PLACES}}}")

# The kinds of tokens: always in this order, with these classes of colour (static/dashboard/dashboard.css).
KINDS = (
    ("input", "kind-1"),
    ("cache_write_5m", "kind-4"),
    ("cache_write_1h", "kind-5"),
    ("cache_read", "kind-3"),
    ("output", "kind-2"),
)


@register.filter
def local_time(value: datetime | None) -> SafeString | str:
    """A time in the page's zone that is short for today; the exact time and zone are in its tooltip."""
    if value is None:
        return "—"
    here, today = timezone.localtime(value), timezone.localtime(timezone.now()).date()
    same_year = "j M H:i" if here.year == today.year else "j M Y"
    short = formats.date_format(here, "H:i:s" if here.date() == today else same_year)
    exact = f"{here:%Y-%m-%d %H:%M:%S} {here.tzname()}"
    return format_html('<time datetime="{}" title="{}">{}</time>', value.isoformat(), exact, short)


@register.filter
def told(value: Any) -> str:
    """A value of an audit event as a person reads it: moments in the page's zone, money without zeros at its end."""
    text = plain(value)
    if MOMENT.fullmatch(text):
        try:
            return formats.date_format(timezone.localtime(datetime.fromisoformat(text)), "j M Y H:i")
        except ValueError:
            return text  # a name that looks like one
    return text.rstrip("0").rstrip(".") if MONEY.fullmatch(text) else text


@register.filter
def iso_moment(value: str) -> SafeString | str:
    """A moment that is given as ISO 8601, in the page's zone; all of it and the zone are in its tooltip."""
    if not value:
        return "—"
    here = timezone.localtime(datetime.fromisoformat(value))
    exact = f"{here:%Y-%m-%d %H:%M:%S} {here.tzname()}"
    return format_html('<time datetime="{}" title="{}">{}</time>', value, exact, formats.date_format(here, "j M Y H:i"))


@register.filter
def readable(value: str) -> str:
    """A limit's figures, as an explanation words them: counts with their thousands apart, money to the cent."""
    return FIGURE.sub(_readable, value)


def _readable(found: re.Match[str]) -> str:
    amount = Decimal(found["amount"])
    return plain_cents(amount) if found["dollar"] else formats.number_format(amount, force_grouping=True)


@register.filter
def percent(value: float | None) -> str:
    """A share from 0 to 1 as 12 % or 0.4 %."""
    if value is None:
        return "—"
    hundredths = 100 * value
    digits = 0 if hundredths >= 10 or hundredths == 0 else 1
    return f"{formats.number_format(round(hundredths, digits), digits)} %"


@register.filter
def exact_count(value: int | None) -> str:
    """A count with its thousands apart, as the reader's language writes it."""
    return "—" if value is None else formats.number_format(value, 0, force_grouping=True)


@register.filter
def cents(value: Decimal | None) -> SafeString | str:
    """Money that fits a tile: to the cent, below one to two digits that say something. All of it is in the tooltip."""
    if value is None:
        return "—"
    return format_html('<data value="{}" title="{}">{}</data>', value, dollars(value), plain_cents(value))


def plain_cents(value: Decimal) -> str:
    """The same as a text."""
    places = 2 if abs(value) >= Decimal("0.995") or value == round(value, 2) else min(12, 1 - value.adjusted())
    sign = "-" if value < 0 else ""
    return f"{sign}${formats.number_format(round(abs(value), places), places, force_grouping=True)}"


@register.filter
def signed_percent(value: float | None) -> str:
    """A change as +12 % or -4 %."""
    if value is None:
        return "—"
    return f"{'+' if value >= 0 else '-'}{percent(abs(value))}"


@register.filter
def first_byte(value: float | None) -> str:
    """A time to the first byte; beyond what is measured it is told so."""
    if value is None:
        return "—"
    return f"≥ {milliseconds(value)}" if value >= LONGEST else milliseconds(value)


@register.filter
def short_number(value: Any) -> str:
    """A count that fits a tile: 950, 12.3k, 4.5M, 1.2B. The exact one belongs into a tooltip or table."""
    number = float(value or 0)
    for bound, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= bound:
            return f"{formats.number_format(round(number / bound, 1), 1)}{letter}"
    return formats.number_format(round(number), 0)


@register.filter
def role_name(role: str) -> Any:
    """`owner`, `admin`, `member` or `viewer` in the reader's language."""
    return ROLE_NAMES.get(role, role)


@register.inclusion_tag("dashboard/partials/bar.html")
def usage_bar(share: float, label: str, tone: str = "") -> dict[str, Any]:
    """A bar that is `share` (0 to 1, more is full) long, and says `label` to those who cannot see it. Without a tone it turns
    to warn at 80 % and to bad at 100 %."""
    shown = max(0.0, min(1.0, float(share or 0)))
    found = tone or ("bad" if share >= 1 else "warn" if share >= 0.8 else "good")
    return {"width": round(100 * shown, 2), "label": label, "tone": found, "percent": round(100 * float(share or 0))}


@register.simple_tag(takes_context=True)
def period_chooser(context: template.Context) -> SafeString:
    """The chooser of the page's `period`."""
    chosen = get_template("dashboard/partials/period.html")
    names = {"period": context["period"], "request": context["request"], "period_choices": CHOICES}
    return SafeString(chosen.render(names, context["request"]))


@register.inclusion_tag("dashboard/partials/chart.html")
def chart(name: str, data: dict[str, Any], label: str, kind: str = "bar") -> dict[str, Any]:
    """A canvas that charts.js draws `data` (labels, series: name, values, colour) into; a table belongs beside it for
    those without scripts. `data` may have `unit` (usd, tokens, requests), `stacked` and `links` (one address for each label)."""
    return {"name": name, "data": data, "label": label, "kind": kind}


@register.simple_tag
def chart_data(data: dict[str, Any], name: str) -> SafeString:
    """The chart's figures as JSON that charts.js finds."""
    return json_script(data, f"{name}-data")


@register.filter
def prompt_tokens(record: RequestRecord) -> int:
    """All that a request sent: input, and what was read from or written to a cache."""
    return record.tokens_input + record.tokens_cache_read + record.tokens_cache_write_5m + record.tokens_cache_write_1h
