"""What the page of the compatibility registry shows: shipped and own rules in one list, and what was left out how often."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.http import urlencode

from routing.compatibility import in_force
from routing.formats.base import ANTHROPIC
from routing.formats.compat import ANY, BETA, DROP, FIELD, PASS, REFUSE, RENAME, Registry, Rule
from routing.formats.compat_rules import SHIPPED
from routing.models import CompatibilityCount, CompatibilityRule
from routing.observations import OTHERS

MOST_COUNTS = 1_000  # rows of counts that are read, the latest first
MOST_UNNAMED = 50
UPSTREAMS = {ANY: "any", "anthropic": "Anthropic", "bedrock": "Bedrock", "vertex": "Vertex"}
TONES = {PASS: "good", RENAME: "info", DROP: "warn", REFUSE: "bad"}
SOURCES = {
    "client": "seen from a client",
    "vendor": "vendor's documentation",
    "reported": "reported by others",
    "unverified": "a careful guess",
}
_MOVES = {"cache_control:last-block": "onto the last block that takes it", "role:user": "into the next user turn"}


@dataclass(frozen=True, slots=True)
class Removed:
    """How often values were left out, and when last."""

    count: int
    last: datetime

    def plus(self, other: "Removed | None") -> "Removed":
        return Removed(self.count + other.count, max(self.last, other.last)) if other else self


@dataclass(frozen=True, slots=True)
class Row:
    """One rule. `own` has the administrator's row; a shipped rule has none. `state` and its tone are a pill."""

    rule: Rule
    own: CompatibilityRule | None = None
    removed: Removed | None = None
    state: str = "shipped"
    state_tone: str = "calm"

    @property
    def upstream(self) -> str:
        return UPSTREAMS.get(self.rule.upstream_format, self.rule.upstream_format)

    @property
    def tone(self) -> str:
        return TONES[self.rule.action]

    @property
    def effect(self) -> str:
        return effect(self.rule)

    @property
    def evidence(self) -> str:
        return SOURCES.get(self.rule.source, self.rule.source)

    @property
    def address(self) -> str:
        """Where the rule is changed: its own page, or a new rule that begins as a copy of the shipped one."""
        if self.own:
            return reverse("admin:routing_compatibilityrule_change", args=[self.own.pk])
        names = ("kind", "name", "upstream_format", "model", "action", "replacement")
        values = {name: getattr(self.rule, name) for name in names}
        return (
            f"{reverse('admin:routing_compatibilityrule_add')}?{urlencode({**values, 'pair': pair_lines(self.rule)})}"
        )


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A value that was left out and that no rule names; `may_decide` for a beta that is left out for that reason."""

    kind: str
    name: str
    upstream_format: str
    removed: Removed

    @property
    def upstream(self) -> str:
        return UPSTREAMS.get(self.upstream_format, self.upstream_format)

    @property
    def may_decide(self) -> bool:
        return self.kind == BETA and self.upstream_format != ANTHROPIC and self.name != OTHERS

    @property
    def why(self) -> str:
        if self.name == OTHERS:
            return "values that were too many to tell apart"
        if self.kind == FIELD:
            return "left out with its beta"
        return "no rule names it" if self.may_decide else "by a rule that is gone"


def pair_lines(rule: Rule) -> str:
    return "\n".join(rule.pair)


def effect(rule: Rule) -> str:
    """What the action does beyond its word."""
    names = ", ".join(rule.pair)
    if rule.action == RENAME and rule.kind == BETA:
        return f"as {rule.replacement}"
    if rule.action == RENAME:
        where, _, name = rule.replacement.partition(":")
        return _MOVES.get(rule.replacement) or (f"into the header {name}" if where == "header" else f"with {name}")
    if not names:
        return ""
    if rule.kind == FIELD:
        return f"only with {names}"
    return f"with {names}" if rule.action == DROP else ""


def read_rows() -> tuple[list[Row], list[Unnamed]]:
    """Every rule, by name, and the values that no rule names, the latest first. Two queries."""
    own = list(CompatibilityRule.objects.order_by("pk"))
    live = in_force(own)
    counts = CompatibilityCount.objects.order_by("-last_seen", "-pk")[:MOST_COUNTS]
    by_rule, unnamed = _attributed(Registry(SHIPPED, live), counts)
    kept = {rule: by_rule.get(rule) for rule in live}
    rows = [Row(rule, None, by_rule.get(rule), *_shipped_state(rule, live)) for rule in SHIPPED]
    for row in own:
        rule = row.as_rule()
        rows.append(Row(rule, row, kept.get(rule) if row.enabled else None, *_own_state(row)))
    rows.sort(key=lambda row: (row.rule.kind, row.rule.name, row.rule.upstream_format, row.own is None, row.rule.model))
    return rows, unnamed


def _attributed(registry: Registry, counts: Iterable[CompatibilityCount]) -> tuple[dict[Rule, Removed], list[Unnamed]]:
    by_rule: dict[Rule, Removed] = {}
    unnamed: dict[tuple[str, str, str], Unnamed] = {}
    for row in counts:
        removed = Removed(row.count, row.last_seen)
        rule = None if row.name == OTHERS else registry.find(row.kind, row.name, row.upstream_format, row.model)
        if rule is not None:
            by_rule[rule] = removed.plus(by_rule.get(rule))
            continue
        key = (row.kind, row.name, row.upstream_format)
        before = unnamed.get(key)
        unnamed[key] = Unnamed(*key, removed.plus(before.removed if before else None))
    return by_rule, list(unnamed.values())


def _shipped_state(rule: Rule, own: Iterable[Rule]) -> tuple[str, str]:
    """Whether an administrator's rule of the same name stands before a shipped one."""
    above = [
        other
        for other in own
        if (other.kind, other.name) == (rule.kind, rule.name) and other.upstream_format in (rule.upstream_format, ANY)
    ]
    if any(other.model in (ANY, rule.model) for other in above):
        return "overridden", "off"
    return ("overridden for some models", "calm") if above else ("shipped", "calm")


def _own_state(row: CompatibilityRule) -> tuple[str, str]:
    return ("your rule", "info") if row.enabled else ("disabled", "calm")


# Narrowing the list


@dataclass(frozen=True, slots=True)
class Filter:
    """One menu above the list, in the shape that `admin/filter.html` takes."""

    title: str
    choices: list[dict[str, Any]]


_MENUS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("kind", "kind", {BETA: "betas", FIELD: "fields"}),
    ("upstream", "upstream", {name: word for name, word in UPSTREAMS.items() if name != ANY}),
    ("action", "action", {name: name for name in (PASS, RENAME, DROP, REFUSE)}),
    ("whose", "rules", {"own": "your rules", "shipped": "shipped", "seen": "left something out"}),
)


def filters(query: Mapping[str, str]) -> list[Filter]:
    """The menus with what is chosen."""
    kept = {name: query[name] for name in ("q", *(menu[0] for menu in _MENUS)) if query.get(name)}
    found = []
    for name, title, words in _MENUS:
        others = {key: value for key, value in kept.items() if key != name}
        choices = [{"display": "All", "query_string": f"?{urlencode(others)}", "selected": name not in kept}]
        for value, word in words.items():
            address = f"?{urlencode({**others, name: value})}"
            choices.append({"display": word, "query_string": address, "selected": kept.get(name) == value})
        found.append(Filter(title, choices))
    return found


def narrowed(rows: Iterable[Row], query: Mapping[str, str]) -> list[Row]:
    """The rows that fit what is asked for."""
    words = query.get("q", "").lower().split()
    return [row for row in rows if _fits(row, query) and all(word in _text(row) for word in words)]


def _fits(row: Row, query: Mapping[str, str]) -> bool:
    whose = query.get("whose", "")
    by_whose = {"own": row.own is not None, "shipped": row.own is None, "seen": row.removed is not None}
    return (
        query.get("kind", "") in ("", row.rule.kind)
        and (query.get("upstream", "") in ("", row.rule.upstream_format) or row.rule.upstream_format == ANY)
        and query.get("action", "") in ("", row.rule.action)
        and by_whose.get(whose, True)
    )


def _text(row: Row) -> str:
    rule = row.rule
    return " ".join((rule.name, rule.model, rule.replacement, *rule.pair, rule.note, row.evidence)).lower()
