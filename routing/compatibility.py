"""The compatibility registry as administrators keep it: every write of its tables, and what its page shows.

Rules and decisions are written through a ChangeSet, so they are audited and running processes notice them. What the
gateway has observed is written by `store_observations`, from a thread beside the gateway's path.
"""

from collections.abc import Iterable, Set
from dataclasses import replace
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError, close_old_connections, connection, transaction
from django.db.models import F

from accounting.audit.changes import ChangeSet
from gateway_project.telemetry import logger
from routing.formats.compat import ANY, BETA, DROP, PASS, Registry, Rule
from routing.formats.compat_rules import SHIPPED
from routing.models import CompatibilityCount, CompatibilityRule, CompatibilitySuggestion
from routing.models.compatibility import LONGEST_MODEL, LONGEST_NAME
from routing.observations import OTHERS, Batch, Tally, Value

MOST_STORED = 5_000  # rows of each table that clients' values can make
KEY = ("kind", "name", "upstream_format", "model")
State = CompatibilitySuggestion.State

log = logger(__name__)


def own_rules() -> list[Rule]:
    """The enabled rules of administrators, as the registry takes them."""
    return in_force(CompatibilityRule.objects.filter(enabled=True).order_by("pk"))


def in_force(rows: Iterable[CompatibilityRule]) -> list[Rule]:
    """Of equally specific rules the later counts: those for any upstream stand first."""
    return sorted((row.as_rule() for row in rows if row.enabled), key=lambda rule: rule.upstream_format != ANY)


def save_rule(change: ChangeSet, rule: CompatibilityRule, *, expected_version: int | None = None) -> None:
    """Writes a rule; live within a second."""
    change.save(rule, expected_version=expected_version)


def delete_rule(change: ChangeSet, rule: CompatibilityRule) -> None:
    change.delete(rule)


def accept(change: ChangeSet, suggestion_id: int) -> CompatibilityRule:
    """Makes the rule that a suggestion asks for: the beta is left out for that model, with what belongs to it.

    Raises ValidationError for a suggestion that does not exist or was accepted already.
    """
    suggestion = _decidable(suggestion_id)
    where = (suggestion.kind, suggestion.name, suggestion.upstream_format, suggestion.model)
    known = (Registry(SHIPPED, own_rules()).find(*where), Registry(SHIPPED).find(*where))
    rule = _rule_for(Value(*where))
    rule.action, rule.replacement, rule.enabled = DROP, "", True
    rule.pair = next((list(each.pair) for each in known if each and each.pair), [])
    rule.note = rule.note or "The upstream refused it."
    rule.source = rule.source or "the upstream's answer"
    change.save(rule)
    suggestion.state = State.ACCEPTED
    change.save(suggestion, action="accepted")
    return rule


def dismiss(change: ChangeSet, suggestion_id: int) -> CompatibilitySuggestion:
    """Lets things be as they are; the suggestion does not come back. Raises ValidationError as `accept` does."""
    suggestion = _decidable(suggestion_id)
    suggestion.state = State.DISMISSED
    change.save(suggestion, action="dismissed")
    return suggestion


def decide(change: ChangeSet, value: Value, action: str) -> CompatibilityRule:
    """A rule with `action` (pass or drop) for a beta that no rule named, for all models. Raises ValidationError."""
    if action not in (PASS, DROP) or value.kind != BETA or not value.name or value.name == OTHERS:
        raise ValidationError("Choose a beta of the list, and whether it passes.")
    rule = _rule_for(replace(value, model=ANY))
    rule.action, rule.replacement, rule.enabled = action, "", True
    change.save(rule)
    return rule


def _decidable(suggestion_id: int) -> CompatibilitySuggestion:
    """The row, locked: the thread that counts must not be overwritten with what was read before."""
    suggestion = CompatibilitySuggestion.objects.select_for_update().filter(pk=suggestion_id).first()
    if suggestion is None or suggestion.state == State.ACCEPTED:
        raise ValidationError("This suggestion was accepted already, or is gone.")
    return suggestion


def _rule_for(value: Value) -> CompatibilityRule:
    """The stored rule of exactly this value, or a new one."""
    key: dict[str, Any] = {name: getattr(value, name) for name in KEY}
    return CompatibilityRule.objects.filter(**key).first() or CompatibilityRule(**key)


# What the gateway has observed


def store_observations(batch: Batch) -> None:
    """Adds a batch to the tables, at once or not at all; several processes may do so at the same time.

    Raises what the database raises while it is away. A batch that it refuses for good is let go, with a line in the log.
    """
    if not batch:
        return
    if not connection.in_atomic_block:
        close_old_connections()
    try:
        with transaction.atomic():
            _add(CompatibilityCount, _fitting(batch.removed))
            refused = _fitting(batch.refused)
            _add(CompatibilitySuggestion, refused)
            _reopen(refused)
    except DataError as error:
        log.error("observations of compatibility were refused by the database", error=str(error)[:300])


def _add(model: type[CompatibilityCount] | type[CompatibilitySuggestion], tally: Tally) -> None:
    """Rows that are missing first, then the sums; in one order everywhere, so that two processes cannot lock each other."""
    rows: Any = model.objects
    if tally and rows.count() + len(tally) > MOST_STORED:
        tally = _without_new(tally, set(rows.values_list(*KEY)))
    keys = {value: dict(zip(KEY, _key(value), strict=True)) for value in sorted(tally)}
    fresh = [model(**key, first_seen=tally[value].first, last_seen=tally[value].last) for value, key in keys.items()]
    rows.bulk_create(fresh, ignore_conflicts=True)
    for value, key in keys.items():
        seen = tally[value]
        rows.filter(**key).update(count=F("count") + seen.count)
        words = {"words": seen.words} if seen.words else {}
        rows.filter(**key, last_seen__lte=seen.last).update(last_seen=seen.last, **words)


def _without_new(tally: Tally, known: Set[tuple[str, ...]]) -> Tally:
    """For a full table: values that it does not have are counted with the others, refusals of them passed over."""
    kept: Tally = {}
    for value, seen in tally.items():
        if _key(value) not in known:
            if seen.words:
                continue
            value = replace(value, name=OTHERS, model="")
        kept[value] = kept[value].plus(seen) if value in kept else seen
    return kept


def _reopen(tally: Tally) -> None:
    """An accepted suggestion whose rule is gone is one again."""
    if not tally:
        return
    registry = Registry(SHIPPED, own_rules())
    for suggestion in CompatibilitySuggestion.objects.filter(state=State.ACCEPTED, name__in={v.name for v in tally}):
        value = Value(suggestion.kind, suggestion.name, suggestion.upstream_format, suggestion.model)
        rule = registry.find(*_key(value))
        if value in tally and (rule is None or rule.action == PASS):
            CompatibilitySuggestion.objects.filter(pk=suggestion.pk).update(state=State.OPEN)


def _key(value: Value) -> tuple[str, str, str, str]:
    return value.kind, value.name, value.upstream_format, value.model


def _fitting(tally: Tally) -> Tally:
    """Names as every database can store them; two that become the same are added up."""
    fitting: Tally = {}
    for value, seen in tally.items():
        stored = replace(value, name=_text(value.name)[:LONGEST_NAME], model=_text(value.model)[:LONGEST_MODEL])
        clean = replace(seen, words=_text(seen.words))
        fitting[stored] = fitting[stored].plus(clean) if stored in fitting else clean
    return fitting


def _text(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
