"""The registry's tables: which rules are refused, what a decision makes, and how processes add to the counts."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command

from accounting.audit.changes import Actor, ChangeSet, changing
from accounting.models import AuditEvent, Revision
from routing import compatibility
from routing.compatibility import State, accept, decide, dismiss, store_observations
from routing.formats.compat import Edits
from routing.models import CompatibilityCount, CompatibilityRule, CompatibilitySuggestion
from routing.observations import OTHERS, Batch, Seen, Value
from routing.snapshot import load_snapshot

pytestmark = pytest.mark.django_db

WHEN = datetime(2026, 11, 1, 12, tzinfo=UTC)
CONTEXT = Value("beta", "context-management-2025-06-27", "bedrock", "us.anthropic.claude-opus-5-5")


@pytest.fixture
def change(db: None) -> Iterator[ChangeSet]:
    with changing(Actor("ada@example.org", "user")) as change:
        yield change


def rule(**fields: object) -> CompatibilityRule:
    return CompatibilityRule(
        **{"kind": "beta", "name": "x-1", "upstream_format": "bedrock", "action": "drop", **fields}
    )


def seen(count: int = 1, *, after: int = 0, words: str = "") -> Seen:
    moment = WHEN + timedelta(seconds=after)
    return Seen(count, moment, moment, words)


def refused(value: Value = CONTEXT, count: int = 1, *, words: str = "invalid beta flag", after: int = 0) -> Batch:
    return Batch(refused={value: seen(count, after=after, words=words)})


def edits(*betas: str, fields: tuple[str, ...] = (), upstream: str = "bedrock", client: str = "anthropic") -> Edits:
    """What the configuration as it stands makes of a request."""
    registry = load_snapshot().registry
    return registry.apply(betas, fields, upstream_format=upstream, model=CONTEXT.model, client_format=client)


# Rules


@pytest.mark.parametrize(
    ("fields", "named", "said"),
    [
        ({"kind": "header"}, "kind", "not a valid choice"),
        ({"action": "keep"}, "action", "not a valid choice"),
        ({"upstream_format": "openai"}, "upstream_format", "not a valid choice"),
        ({"name": ""}, "name", "blank"),
        ({"name": "two words"}, "name", "No spaces"),
        ({"name": "a,b"}, "__all__", "no space, comma or line break"),
        ({"model": "a b"}, "model", "No spaces"),
        ({"action": "rename"}, "__all__", "says to what"),
        ({"action": "rename", "replacement": "y-*"}, "replacement", "not a pattern"),
        ({"replacement": "y-1"}, "replacement", "Only a rule that renames"),
        ({"kind": "field", "action": "rename", "replacement": "body:x"}, "__all__", "can be moved to"),
        ({"pair": ["speed", ""]}, "pair", "one on each line"),
        ({"pair": "speed"}, "pair", "list of names"),
        ({"pair": ["a\x01"]}, "pair", "one on each line"),
        ({"date": "soon"}, "date", "invalid date"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(
    change: ChangeSet, fields: dict[str, object], named: str, said: str
) -> None:
    with pytest.raises(ValidationError) as error:
        change.save(rule(**fields))
    assert said in " ".join(error.value.message_dict[named])


def test_a_second_rule_for_the_same_is_refused(change: ChangeSet) -> None:
    change.save(rule(enabled=False))
    with pytest.raises(ValidationError, match="already"):
        change.save(rule(action="pass"))
    change.save(rule(action="pass", model="*opus*"))
    change.save(rule(action="pass", upstream_format="vertex"))


def test_two_rules_that_would_leave_the_choice_to_chance_are_refused(change: ChangeSet) -> None:
    change.save(rule(name="x-*1"))
    with pytest.raises(ValidationError, match="As specific as"):
        change.save(rule(name="x-1*"))
    change.save(rule(name="x-1*", enabled=False))
    change.save(rule(name="x-12*"))


def test_a_rule_is_live_with_the_next_picture_and_is_audited(change: ChangeSet) -> None:
    before = Revision.objects.filter(name="routing").values_list("number", flat=True).first() or 0
    made = rule(name="claude-code-20250219", action="pass", date=date(2026, 11, 1))
    change.save(made)
    change.bump()
    assert edits("claude-code-20250219").betas == ("claude-code-20250219",)
    assert Revision.objects.get(name="routing").number == before + 1
    event = AuditEvent.objects.get(object_type="compatibilityrule")
    assert (event.actor, event.action, event.object_name) == ("ada@example.org", "created", "claude-code-20250219")
    assert event.changes["date"] == [None, "2026-11-01"]
    made.enabled = False
    change.save(made)
    assert edits("claude-code-20250219").removed_betas == ("claude-code-20250219",)


def test_a_rule_for_one_upstream_stands_before_one_for_any(change: ChangeSet) -> None:
    change.save(rule(upstream_format="bedrock", action="pass"))
    change.save(rule(upstream_format="*", action="drop"))
    assert edits("x-1").betas == ("x-1",)
    assert edits("x-1", upstream="vertex").removed_betas == ("x-1",)


def test_rules_between_other_formats_leave_equal_formats_alone(change: ChangeSet) -> None:
    change.save(rule())
    registry = load_snapshot().registry
    assert registry.touches("bedrock")
    assert not registry.touches("anthropic")
    change.save(rule(name="y-1", upstream_format="*"))
    assert load_snapshot().registry.touches("anthropic")


# Suggestions


def test_a_refused_beta_becomes_a_suggestion_and_by_one_word_a_rule(change: ChangeSet) -> None:
    change.save(rule(name=CONTEXT.name, action="pass", model="*opus*"))  # turned on by the administrator
    assert edits(CONTEXT.name, fields=("context_management",)).betas == (CONTEXT.name,)
    store_observations(refused(count=2))
    store_observations(refused(count=3, after=60, words="still an invalid beta flag"))
    suggestion = CompatibilitySuggestion.objects.get()
    assert (suggestion.count, suggestion.words, suggestion.state) == (5, "still an invalid beta flag", "open")
    assert (suggestion.first_seen, suggestion.last_seen) == (WHEN, WHEN + timedelta(seconds=60))

    made = accept(change, suggestion.pk)
    assert (made.action, made.model, made.pair) == ("drop", CONTEXT.model, ["context_management"])
    after = edits(CONTEXT.name, fields=("context_management",))
    assert (after.removed_betas, after.removed_fields) == ((CONTEXT.name,), ("context_management",))
    assert AuditEvent.objects.filter(action="accepted", object_type="compatibilitysuggestion").count() == 1
    suggestion.refresh_from_db()
    assert (suggestion.state, suggestion.count) == ("accepted", 5)


def test_a_rule_of_exactly_this_model_is_turned_round(change: ChangeSet) -> None:
    change.save(rule(name=CONTEXT.name, action="pass", model=CONTEXT.model, note="ours"))
    store_observations(refused())
    accept(change, CompatibilitySuggestion.objects.get().pk)
    made = CompatibilityRule.objects.get()
    assert (made.action, made.note, made.version) == ("drop", "ours", 2)


def test_what_was_decided_is_not_decided_again(change: ChangeSet) -> None:
    store_observations(refused())
    number = CompatibilitySuggestion.objects.get().pk
    dismiss(change, number)
    store_observations(refused(after=9))
    assert CompatibilitySuggestion.objects.get().state == State.DISMISSED
    accept(change, number)  # after all
    for again in (accept, dismiss):
        with pytest.raises(ValidationError, match="already"):
            again(change, number)
    with pytest.raises(ValidationError, match="gone"):
        accept(change, number + 1)


def test_an_accepted_suggestion_opens_again_only_when_its_rule_is_gone(change: ChangeSet) -> None:
    change.save(rule(name=CONTEXT.name, action="pass"))
    store_observations(refused())
    made = accept(change, CompatibilitySuggestion.objects.get().pk)
    store_observations(refused())  # a request that was on its way
    assert CompatibilitySuggestion.objects.get().state == State.ACCEPTED
    change.delete(made)
    store_observations(refused())
    assert CompatibilitySuggestion.objects.get().state == State.OPEN


def test_a_beta_that_no_rule_names_is_let_pass_by_one_word(change: ChangeSet) -> None:
    value = Value("beta", "brand-new-2026-12-01", "bedrock", "whatever")
    assert edits(value.name).unknown == (value.name,)
    decide(change, value, "pass")
    assert edits(value.name).betas == (value.name,)
    decide(change, value, "drop")
    assert edits(value.name).unknown == ()
    assert edits(value.name).removed_betas == (value.name,)
    assert CompatibilityRule.objects.count() == 1


@pytest.mark.parametrize(
    ("value", "action"),
    [
        (Value("beta", "x", "bedrock", "*"), "rename"),
        (Value("field", "x", "bedrock", "*"), "pass"),
        (Value("beta", "", "bedrock", "*"), "pass"),
        (Value("beta", OTHERS, "bedrock", "*"), "pass"),
        (Value("beta", "x", "openai", "*"), "pass"),
        (Value("beta", "a b", "bedrock", "*"), "pass"),
        (Value("beta", "x" * 201, "bedrock", "*"), "pass"),
    ],
)
def test_a_decision_that_means_nothing_is_refused(change: ChangeSet, value: Value, action: str) -> None:
    with pytest.raises(ValidationError):
        decide(change, value, action)
    assert not CompatibilityRule.objects.exists()


# Counts


def test_counts_of_several_processes_add_up() -> None:
    one, other = Value("beta", "a-1", "bedrock", "m"), Value("field", "speed", "vertex", "m")
    store_observations(Batch(removed={one: seen(3, after=5), other: seen(1)}))
    store_observations(Batch(removed={one: seen(4, after=2)}))
    row = CompatibilityCount.objects.get(name="a-1")
    assert (row.count, row.last_seen) == (7, WHEN + timedelta(seconds=5))
    assert CompatibilityCount.objects.get(name="speed").count == 1


def test_a_failure_stores_nothing_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is given back and written again is not counted twice."""

    def fail(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(compatibility, "_reopen", fail)
    with pytest.raises(ConnectionError):
        store_observations(Batch({Value("beta", "a-1", "bedrock", "m"): seen()}, refused().refused))
    assert not CompatibilityCount.objects.exists()


def test_texts_that_no_database_stores_are_made_to_fit() -> None:
    strange = {Value("field", name, "bedrock", "m"): seen() for name in ("a\x00", "a\ufffd", "\ud800", "x" * 500)}
    store_observations(Batch(removed=strange, refused={CONTEXT: seen(words="no\x00 \udfff")}))
    assert CompatibilityCount.objects.get(name="a\ufffd").count == 2
    assert set(CompatibilityCount.objects.values_list("name", flat=True)) == {"a\ufffd", "?", "x" * 200}
    assert CompatibilitySuggestion.objects.get().words == "no\ufffd ?"


def test_the_tables_are_bounded_and_known_values_go_on_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatibility, "MOST_STORED", 3)
    known, others = Value("beta", "a-0", "bedrock", "m"), Value("beta", OTHERS, "bedrock", "")
    store_observations(Batch(removed={Value("beta", f"a-{n}", "bedrock", "m"): seen() for n in range(3)}))
    more = {Value("beta", f"b-{n}", "bedrock", "m"): seen(2) for n in range(5)}
    store_observations(Batch(removed={known: seen(), others: seen(), **more}))
    counts = dict(CompatibilityCount.objects.values_list("name", "count"))
    assert counts == {"a-0": 2, "a-1": 1, "a-2": 1, OTHERS: 11}


def test_the_migrations_are_complete() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
