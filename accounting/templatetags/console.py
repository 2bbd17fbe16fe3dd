"""How values read on the pages: times, durations, counts, outcomes. Numbers have the separators of the reader's language."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounting.models import RequestRecord
from accounting.money.price_book import number
from accounting.words import ACTIONS, ACTORS, TARGETS, word

register = template.Library()

TONES = {"served": "good", "refused": "warn", "upstream_error": "bad", "client_left": "calm", "shut_down": "bad"}
OUTCOMES = {
    "served": _("served"),
    "refused": _("refused"),
    "upstream_error": _("upstream error"),
    "client_left": _("client left"),
    "shut_down": _("shut down"),
}


@register.filter
def grouped(value: int | None) -> str:
    """12345 as 12,345."""
    return "—" if value is None else formats.number_format(value, 0, force_grouping=True)


@register.filter
def rate(value: Decimal | str) -> str:
    """A price without needless zeros; a text is as records keep it."""
    return formats.number_format(number(Decimal(value)))


@register.filter
def milliseconds(value: float | Decimal | None) -> str:
    """A duration in the unit that fits: 42 ms, 1.8 s, 2 min 5 s."""
    if value is None:
        return "—"
    number = float(value)
    if number < 1000:
        return f"{number:.0f} ms" if number >= 10 else f"{formats.number_format(f'{number:.1f}')} ms"
    if number < 120_000:
        return f"{formats.number_format(f'{number / 1000:.1f}')} s"
    return f"{number // 60_000:.0f} min {number % 60_000 / 1000:.0f} s"


@register.filter
def dollars(value: Decimal | None) -> str:
    """Money to the last digit that is not zero, and cents at least: $0.0123, $4.00."""
    if value is None:
        return "—"
    text = f"{abs(value):.12f}"
    places = max(2, len(text.rstrip("0").partition(".")[2]))
    return f"{'-' if value < 0 else ''}${formats.number_format(Decimal(text), places, force_grouping=True)}"


@register.filter
def cents(value: Decimal) -> str:
    """Money as a figure at a glance: $1,234.50."""
    return f"{'-' if value < 0 else ''}${formats.number_format(Decimal(f'{abs(value):.2f}'), 2, force_grouping=True)}"


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """A time that is short for today and exact in its tooltip (UTC)."""
    if value is None:
        return "—"
    now = timezone.now()
    same_year = "%-d %b %H:%M" if value.year == now.year else "%-d %b %Y"
    shape = "%H:%M:%S" if value.date() == now.date() else same_year
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        value.isoformat(),
        f"{value:%Y-%m-%d %H:%M:%S}",
        f"{value:{shape}}",
    )


@register.filter
def day(value: datetime | None) -> SafeString | str:
    """A date whose time is in its tooltip (UTC)."""
    if value is None:
        return "—"
    exact = f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return format_html(
        '<time class="nowrap" datetime="{}" title="{}">{}</time>', value.isoformat(), exact, f"{value:%-d %b %Y}"
    )


@register.filter
def pill(text: Any, tone: str = "calm") -> SafeString:
    return format_html('<span class="pill {}">{}</span>', tone, text)


@register.filter
def key_state(row: Any) -> SafeString:
    """Whether a key or a token is usable, in one word."""
    if row.revoked_at:
        return pill("revoked", "bad")
    if row.expires_at and row.expires_at <= timezone.now():
        return pill("expired", "warn")
    return pill("usable", "good") if getattr(row, "enabled", True) else pill("disabled")


@register.filter
def outcome_pill(record: RequestRecord) -> SafeString:
    return pill(OUTCOMES.get(record.outcome, record.outcome), TONES.get(record.outcome, "calm"))


@register.filter
def spaced(name: str) -> str:
    """`modelalias` as words."""
    return word(name)


@register.filter
def action_word(action: str) -> str:
    """What an event says was done, in the reader's language."""
    return str(ACTIONS.get(action, action))


@register.filter
def actor_word(kind: str) -> str:
    """`token`, `command`, `system`, in the reader's language."""
    return str(ACTORS.get(kind, kind))


@register.filter
def target_state(state: str) -> str:
    """`half open`, in the reader's language."""
    return str(TARGETS.get(state, state))


@register.filter
def change_tone(action: str) -> str:
    """The colour of `created`, `changed`, `removed`."""
    return {"created": "good", "removed": "bad", "deleted": "bad"}.get(action, "info")


@register.filter
def plain(value: Any) -> str:
    """A stored value as a person reads it."""
    if value is None or value == "" or value == [] or value == {}:
        return "—"
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {plain(part)}" for name, part in value.items())
    if isinstance(value, list):
        return "\n".join(plain(part) for part in value)
    return str(value)


@register.filter
def chosen(choices: list[dict[str, Any]]) -> dict[str, Any]:
    """The selected choice of a filter, and whether it narrows the list."""
    for index, choice in enumerate(choices):
        if choice["selected"]:
            return {"label": choice["display"], "active": not choice.get("default", index == 0)}
    return {"label": "", "active": False}
