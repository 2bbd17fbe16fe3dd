"""The demo fills an empty installation, and no other; every page finds something there, and all its sums agree."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
import yaml
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db.models import Count
from django.test import override_settings
from pytest_django.plugin import DjangoDbBlocker

from accounting.limits.loading import load_limits
from accounting.limits.standing import BudgetStanding, standings
from accounting.models import (
    ApiToken,
    BudgetAlert,
    BudgetRequest,
    LedgerEntry,
    Membership,
    Project,
    RateLimit,
    RequestRecord,
    Rerating,
    Team,
    UnpricedModel,
    User,
    VirtualKey,
)
from accounting.money.agreement import differences
from accounting.services import has_secret
from gateway_project.console.access import is_administrator, is_auditor
from routing.declarative import import_config
from routing.demo import SIGN_INS, SIZES, Loaded, load_demo, upstreams
from routing.demo.traffic import make_traffic
from routing.models import (
    CompatibilityCount,
    CompatibilitySuggestion,
    ConfigProposal,
    ConfigVersion,
    ModelAlias,
    Provider,
    ShadowCount,
    TargetControl,
)
from routing.quickstart import follow_address, load_configuration
from tests.accounting.conftest import new_postgres, own_database

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ADDRESS = "http://127.0.0.1:8000"
SMALL = SIZES["small"]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def demo(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[Loaded]:
    """The small demo, loaded once into each kind of database."""
    folder = tmp_path_factory.mktemp("demo")
    with ExitStack() as closing:
        if request.param == "postgres":
            url = closing.enter_context(new_postgres(folder, django_db_blocker))
        else:
            migrated: Path = request.getfixturevalue("migrated_file")
            (folder / "demo.sqlite3").write_bytes(migrated.read_bytes())
            url = f"sqlite:///{folder / 'demo.sqlite3'}"
        with own_database(url, folder, django_db_blocker):
            yield load_demo(ADDRESS, NOW, SMALL)


def standing_of(scope: str, name: str, tag: str = "") -> BudgetStanding:
    found = [
        each for each in load_limits().budgets if (each.scope.type, each.scope.name, each.tag) == (scope, name, tag)
    ]
    (standing,) = standings(found, now=NOW.timestamp())
    return standing


def test_roll_ups_ledger_and_records_agree(demo: Loaded) -> None:
    assert differences() == []
    assert RequestRecord.objects.count() == demo.requests
    assert LedgerEntry.objects.exclude(kind="adjustment").count() > demo.requests * 0.9
    call_command("check_ledger", stdout=StringIO())


def test_the_same_moment_makes_the_same_requests(demo: Loaded) -> None:
    again = {entry.request_id for entry in make_traffic(SMALL, NOW, load_limits().rates, ADDRESS)}
    assert again == set(RequestRecord.objects.values_list("request_id", flat=True))


def test_requests_fill_a_quarter_and_more_of_them_come_on_working_days(demo: Loaded) -> None:
    moments = list(RequestRecord.objects.values_list("started_at", flat=True))
    assert NOW - timedelta(days=93) < min(moments) < NOW - timedelta(days=85)
    assert NOW - timedelta(hours=6) < max(moments) <= NOW
    days = Counter(moment.weekday() for moment in moments)
    assert min(days[day] for day in range(5)) > 2 * max(days[5], days[6])
    half = NOW - timedelta(days=46)
    assert sum(moment > half for moment in moments) > 1.2 * sum(moment <= half for moment in moments)


def test_every_outcome_and_every_refusal_is_there(demo: Loaded) -> None:
    found = Counter(RequestRecord.objects.values_list("outcome", "reason"))
    assert {outcome for outcome, _ in found} == set(RequestRecord.Outcome.values)
    refused = {reason for outcome, reason in found if outcome == "refused"}
    assert {"budget_exceeded", "rate_limited", "model_not_allowed", "unknown_model", "revoked"} <= refused
    failed = {reason for outcome, reason in found if outcome == "upstream_error"}
    assert {"stream_broken", "upstream_400"} <= failed
    unserved = RequestRecord.objects.filter(outcome="refused")
    assert not unserved.exclude(cost_usd=0).exists()
    assert not unserved.filter(error_message="").exists()


def test_a_target_had_a_bad_afternoon(demo: Loaded) -> None:
    tried = [record for record in RequestRecord.objects.all() if len(record.attempts) > 1]
    served = [record for record in tried if record.outcome == "served" and record.attempts[0]["status"] == 529]
    day, count = Counter(record.started_at.date() for record in served).most_common(1)[0]
    assert count > len(served) / 2
    assert day.weekday() < 5
    of_day = RequestRecord.objects.filter(started_at__date=day)
    assert of_day.filter(outcome="upstream_error").exists()
    assert any(record.switched_from and record.switch_tokens for record in served)


def test_sessions_have_trees_of_agents(demo: Loaded) -> None:
    sessions = RequestRecord.objects.exclude(session_id="").values("session_id")
    large = sessions.annotate(agents=Count("agent_id", distinct=True), requests=Count("id")).filter(agents__gte=3)
    assert large.count() >= 5
    for each in large:
        assert 20 <= each["requests"] <= 180
        assert each["agents"] <= 7
        pairs = set(
            RequestRecord.objects.filter(session_id=each["session_id"]).values_list("agent_id", "parent_agent_id")
        )
        known = {agent for agent, _ in pairs}
        assert sum(not parent for _, parent in pairs) == 1
        assert {parent for _, parent in pairs if parent} <= known


def test_clients_speak_all_formats_and_caches_are_mostly_read(demo: Loaded) -> None:
    records = RequestRecord.objects.filter(outcome="served")
    assert set(records.values_list("client_format", flat=True)) == {"anthropic", "bedrock", "vertex"}
    names = {agent.partition("/")[0] for agent in records.values_list("user_agent", flat=True)}
    assert {"claude-cli", "Anthropic", "Boto3", "AnthropicVertex"} <= names
    coding = records.filter(user_agent__startswith="claude-cli", operation="messages")
    read = sum(coding.values_list("tokens_cache_read", flat=True))
    written = sum(map(sum, coding.values_list("tokens_cache_write_5m", "tokens_cache_write_1h")))
    assert 0.8 < read / (read + written + sum(coding.values_list("tokens_input", flat=True))) < 0.97
    assert coding.filter(tokens_cache_write_1h__gt=0).exists()
    assert records.filter(operation="count_tokens", cost_usd=0).exists()


def test_an_answer_in_one_piece_took_its_time_at_the_provider(demo: Loaded) -> None:
    whole = RequestRecord.objects.filter(operation="messages", outcome="served", stream=False)
    assert whole.count() > 10
    for record in whole:
        calls = sum(attempt["duration_ms"] for attempt in record.attempts)
        assert calls == pytest.approx(record.duration_ms, abs=1)


def test_prices_of_every_kind_were_paid(demo: Loaded) -> None:
    prices = [price for price in LedgerEntry.objects.values_list("price", flat=True) if price]
    assert {price["band"] for price in prices} == {"standard", "long_context", "fast"}
    assert {name for price in prices for name in price["multipliers"]} == {"batch", "geo"}
    assert any(price["id"] is None for price in prices)
    assert UnpricedModel.objects.get().model == "lab-preview-0"
    assert LedgerEntry.objects.filter(web_searches__gt=0).exists()
    assert LedgerEntry.objects.filter(kind="failed", cost_usd__gt=0).exists()
    assert RequestRecord.objects.filter(operation="batches").exists()
    assert Rerating.objects.get().lines == LedgerEntry.objects.filter(kind="adjustment").count() > 0


def test_betas_were_left_out_and_a_broken_stream_was_sent_again(demo: Loaded) -> None:
    assert any(betas for betas in RequestRecord.objects.values_list("betas_removed", flat=True))
    again = RequestRecord.objects.exclude(resend_of="").first()
    assert again is not None
    assert RequestRecord.objects.get(request_id=again.resend_of).reason == "stream_broken"
    assert CompatibilityCount.objects.exists()
    assert set(CompatibilitySuggestion.objects.values_list("state", flat=True)) == {"open", "accepted"}


def test_one_budget_is_nearly_spent_and_one_used_up(demo: Loaded) -> None:
    nearly = standing_of("team", "platform")
    assert 0.85 < nearly.spent / nearly.limit < 1
    used_up = standing_of("project", "support/answers")
    assert used_up.spent >= used_up.limit
    assert used_up.line.hard
    refused = RequestRecord.objects.filter(reason="budget_exceeded")
    assert set(refused.values_list("team", "project")) == {("support", "answers")}
    assert all("is used up" in message for message in refused.values_list("error_message", flat=True))
    assert {alert.threshold for alert in BudgetAlert.objects.filter(budget__project__name="answers")} == {75, 90, 100}
    assert BudgetAlert.objects.filter(budget__team__name="platform", threshold=90).exists()
    assert all(
        alert.at <= NOW and alert.spent * 100 >= alert.limit * alert.threshold for alert in BudgetAlert.objects.all()
    )


def test_more_was_asked_for(demo: Loaded) -> None:
    states = Counter(BudgetRequest.objects.values_list("state", flat=True))
    assert states == {"open": 1, "approved": 1, "changed": 1, "refused": 1, "withdrawn": 1}
    assert RateLimit.objects.filter(team__name="platform").exists()


def test_forty_people_have_roles_in_six_teams(demo: Loaded) -> None:
    assert set(Team.objects.values_list("name", flat=True)) == {
        *("default", "platform", "research", "support", "product", "finance", "labs"),
    }
    assert User.objects.count() == 40
    assert set(Membership.objects.values_list("role", flat=True)) == set(Membership.Role.values)
    assert len(set(Team.objects.exclude(name="default").values_list("timezone", flat=True))) == 6
    assert Project.objects.count() == 14
    assert not RequestRecord.objects.filter(team="labs").exists()
    assert VirtualKey.objects.filter(project__team__name="labs").exists()


def test_the_known_people_can_sign_in_and_nobody_else(demo: Loaded) -> None:
    people = [authenticate(None, username=each.email, password=each.password) for each in SIGN_INS]
    assert all(isinstance(person, User) for person in people)
    administrator, auditor, owner, member = people
    assert isinstance(administrator, User)
    assert isinstance(auditor, User)
    assert administrator.email == "ada@example.org"
    assert is_administrator(administrator)
    assert is_auditor(auditor)
    assert Membership.objects.get(user=owner, team__name="research").role == "owner"
    assert Membership.objects.get(user=member, team__name="research").role == "member"
    usable = [user.email for user in User.objects.all() if user.has_usable_password()]
    assert sorted(usable) == sorted(each.email for each in SIGN_INS)


def test_keys_have_stories(demo: Loaded) -> None:
    keys = VirtualKey.objects.all()
    assert keys.exclude(revoked_at=None).count() == 1
    assert keys.filter(enabled=False).count() == 1
    assert keys.filter(expires_at__gt=NOW, expires_at__lt=NOW + timedelta(days=14)).count() >= 2
    assert keys.filter(expires_at__lt=NOW).exists()
    used = set(RequestRecord.objects.values_list("key_prefix", flat=True))
    lately = set(
        RequestRecord.objects.filter(started_at__gt=NOW - timedelta(days=30)).values_list("key_prefix", flat=True)
    )
    assert len(used - lately) >= 4
    assert {key.kind for key in keys if key.prefix in used} == {"personal", "service"}
    assert {name for key in keys for name in key.tags} == {"cost_center", "environment"}
    assert has_secret(keys.get(project__team__name="default"), demo.secret.reveal())
    assert set(ApiToken.objects.values_list("role", flat=True)) == set(ApiToken.Role.values)


def test_providers_of_all_formats_routes_and_changes_of_them(demo: Loaded) -> None:
    assert set(Provider.objects.values_list("format", flat=True)) == {"anthropic", "bedrock", "vertex"}
    assert all(address == f"{ADDRESS}/-/simulator" for address in Provider.objects.values_list("base_url", flat=True))
    old = ModelAlias.objects.get(name="claude-sonnet-4-5")
    assert (old.successor, old.deprecation is not None) == ("claude-sonnet-5-5", True)
    assert ConfigVersion.objects.exclude(reason="").count() >= 2
    assert ConfigProposal.objects.get().state == "approved"
    assert ShadowCount.objects.exists()
    assert TargetControl.objects.get().drained


@pytest.mark.parametrize("moment", ["2027-01-01T00:10", "2026-03-01T23:50", "2026-06-14T06:00"])
def test_whatever_day_it_is_the_budgets_are_where_they_should_be(sqlite: str, moment: str) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    load_demo(ADDRESS, now, SMALL)
    shares = {}
    for each in standings(load_limits().budgets, now=now.timestamp()):
        shares[each.line.terms.scope.name, each.line.terms.tag] = each.spent / each.limit
    assert 0.85 < shares["platform", ""] < 1
    assert shares["support/answers", ""] >= 1
    assert 0 < shares["", ""] < 1
    assert RequestRecord.objects.filter(reason="budget_exceeded").exists()
    assert RequestRecord.objects.filter(started_at__gt=now - timedelta(days=1), started_at__lte=now).count() > 20
    assert differences() == []


@pytest.mark.django_db(transaction=True)
def test_the_demo_is_not_loaded_over_anything() -> None:
    Team.objects.create(name="ours")
    with pytest.raises(CommandError, match="not empty"):
        call_command("load_demo")
    told = StringIO()
    call_command("load_demo", "--again", stdout=told)
    assert Team.objects.count() == 1
    assert told.getvalue() == ""


@pytest.mark.django_db(transaction=True)
@override_settings(GATEWAY_PUBLIC_URL="https://gateway.example.org")
def test_accounts_with_known_passwords_are_not_made_where_others_sign_in() -> None:
    with pytest.raises(CommandError, match="GATEWAY_PUBLIC_URL"):
        call_command("load_demo")
    assert not User.objects.exists()


@pytest.fixture
def log_level() -> Iterator[None]:
    """The command logs errors only; the tests after it log as before."""
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


@pytest.mark.usefixtures("sqlite", "log_level")
def test_the_command_tells_how_to_sign_in_each_time() -> None:
    for _ in range(2):
        told = StringIO()
        call_command("load_demo", "--again", "--size", "small", stdout=told)
        assert all(each.email in told.getvalue() and each.password in told.getvalue() for each in SIGN_INS)


@pytest.mark.django_db(transaction=True)
def test_simulated_providers_follow_the_server_to_another_port_and_others_stay() -> None:
    load_configuration(ADDRESS)
    import_config(yaml.safe_dump(upstreams.document(ADDRESS, NOW)).encode(), environ={})
    Provider.objects.filter(name="vertex").update(base_url="https://europe-west1-aiplatform.googleapis.com")
    follow_address("http://127.0.0.1:9000")
    addresses = dict(Provider.objects.values_list("name", "base_url"))
    assert addresses.pop("vertex") == "https://europe-west1-aiplatform.googleapis.com"
    assert set(addresses.values()) == {"http://127.0.0.1:9000/-/simulator"}
