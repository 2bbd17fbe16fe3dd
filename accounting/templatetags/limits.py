"""How limits read on the dashboard (`{% load limits %}`)."""

from decimal import Decimal
from typing import Any

from django import template
from django.utils.translation import gettext as _

from accounting.limits.shown import ShownBudget, ShownRate
from accounting.models.limits import Scoped, scope_name
from accounting.templatetags.console import dollars, grouped

register = template.Library()
_WIDTH = 1000  # of a bar, in its own units


@register.filter
def cents(value: Decimal | None) -> str:
    """Money to the cent, and small sums to two digits that say something: $24.34, $0.0016."""
    if value is None or value >= 1 or value == 0:
        return dollars(None if value is None else value.quantize(Decimal("0.01")))
    return dollars(value.quantize(Decimal(1).scaleb(value.adjusted() - 1)))


@register.filter
def limit_title(row: Scoped) -> str:
    """`Organization`, `Project default`, `Key default/ci`, `ada@example.org`: what a limit is for, seen from its team."""
    if row.scope == "organization":
        return _("Organization")
    owner = row.owner
    name = scope_name(owner).partition("/")[2] if owner is not None and row.scope in ("project", "key") else str(owner)
    titles = {"team": _("Team %s"), "project": _("Project %s"), "key": _("Key %s"), "user": "%s"}
    return titles[row.scope] % name


@register.filter
def limit_narrowed(row: Scoped) -> str:
    """What narrows a limit, or nothing."""
    parts = [_("models %s") % row.model] if row.model else []
    return ", ".join([*parts, _("keys tagged %s") % row.tag] if row.tag else parts)


@register.filter
def period_word(period: str) -> str:
    """`a month`, `in all`."""
    words = {"day": _("a day"), "week": _("a week"), "month": _("a month"), "quarter": _("a quarter")}
    return words.get(period) or _("in all")


@register.filter
def rate_word(kind: str) -> str:
    words = {
        "requests_per_minute": _("requests per minute"),
        "input_tokens_per_minute": _("input tokens per minute"),
        "output_tokens_per_minute": _("output tokens per minute"),
        "concurrent_requests": _("requests at a time"),
        "concurrent_streams": _("streams at a time"),
    }
    return words.get(kind, kind)


@register.filter
def state_word(state: str) -> str:
    """The state of a request for more."""
    words = {
        "open": _("waits"),
        "approved": _("approved"),
        "changed": _("approved with changes"),
        "refused": _("refused"),
        "expired": _("expired"),
        "withdrawn": _("withdrawn"),
    }
    return words.get(state, state)


@register.filter
def state_tone(state: str) -> str:
    return {"open": "info", "approved": "good", "changed": "good", "refused": "bad"}.get(state, "calm")


@register.inclusion_tag("dashboard/partials/budget_bar.html")
def budget_bar(shown: ShownBudget) -> dict[str, Any]:
    """Spent and reserved of the limit, with the soft limits as marks."""
    standing = shown.standing
    spent = min(_WIDTH, round(_WIDTH * shown.share))
    held = round(_WIDTH * standing.reserved / standing.limit) if standing.limit else 0
    marks = [each for each in standing.line.terms.soft if each < 100]
    return {
        "shown": shown,
        "spent": spent,
        "reserved": min(_WIDTH - spent, held),
        "marks": [(each, _WIDTH * each // 100, shown.percent >= each) for each in marks],
    }


@register.filter
def rate_label(shown: ShownRate) -> str:
    used = "?" if shown.used is None else grouped(shown.used)
    return _("%(used)s of %(limit)s used now") % {"used": used, "limit": grouped(shown.line.limit)}
