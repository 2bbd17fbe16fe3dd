"""A draft says where it would have sent requests, sends none, and its counts survive a database that is away."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from accounting.audit.changes import Actor, changing
from accounting.money.entry import Entry
from accounting.money.price_store import load_price_book
from accounting.money.usage import Usage
from routing.models import Provider, Route, RouteTarget, Shadow, ShadowCount
from routing.services import save_provider, save_route
from routing.shadows import MOST_KINDS, Shadowed, Shadows, report_of, store_shadows
from routing.snapshot import load_snapshot
from routing.targets import CredentialConf, ProviderConf, TargetConf

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HAIKU = "claude-haiku-4-5"


def target(model: str = HAIKU) -> TargetConf:
    provider = ProviderConf(1, "cheap", "anthropic", "https://example.com", CredentialConf("none"))
    return TargetConf(provider, model)


def ended(team: str = "platform", cost: str = "0.018") -> Entry:
    return Entry(
        "req_1", NOW.timestamp(), team=team, provider="main", upstream_model="claude-sonnet-4-5", cost_usd=Decimal(cost)
    )


@pytest.fixture
def shadow() -> Shadow:
    with changing(Actor("set-up", "system")) as change:
        provider = Provider(name="main", base_url="https://api.example.com")
        save_provider(change, provider, credential_kind="none", credential_values={})
        routes = [Route(name="live"), Route(name="draft")]
        for route in routes:
            save_route(change, route, [RouteTarget(provider=provider, model="claude-sonnet-4-5")])
        made = Shadow(live=routes[0], draft=routes[1], until=NOW + timedelta(days=400))
        change.save(made)
    return made


def test_the_same_tokens_are_priced_at_the_drafts_target(shadow: Shadow) -> None:
    shadows, used = Shadows(), Usage(input=1000, output=1000, seen=True)
    shadows.count(Shadowed(shadow.pk, target()), ended(), used, load_price_book())
    shadows.count(Shadowed(shadow.pk, target()), ended(), used, load_price_book())
    store_shadows(shadows.take(), NOW)
    report = report_of(shadow)
    assert (report.requests, report.moved, report.refused) == (2, 2, 0)
    assert report.live_cost == Decimal("0.036")
    assert report.draft_cost == Decimal("0.012"), "2 x (1,000 at $1 + 1,000 at $5 for a million)"
    assert report.difference == Decimal("-0.024")


def test_a_refusal_of_the_draft_is_counted_with_its_reason(shadow: Shadow) -> None:
    shadows = Shadows()
    shadows.count(Shadowed(shadow.pk, None, "no_target"), ended(), Usage(input=5, seen=True), load_price_book())
    store_shadows(shadows.take(), NOW)
    row = ShadowCount.objects.get()
    assert (row.draft_provider, row.draft_reason, row.draft_cost) == ("", "no_target", 0)
    assert report_of(shadow).refused == 1


def test_counts_add_up_over_writes_and_what_could_not_be_written_is_kept(shadow: Shadow) -> None:
    moments = iter((0.0, 1.5, 1.6, 9.0))
    shadows = Shadows(clock=lambda: next(moments))
    for _ in range(2):
        shadows.count(Shadowed(shadow.pk, target()), ended(), None, load_price_book())
        taken = shadows.take()
        shadows.give_back(taken)
        store_shadows(shadows.take(all_=True), NOW)
    assert report_of(shadow).requests == 2


def test_a_process_tells_a_bounded_number_of_ways_apart(shadow: Shadow) -> None:
    shadows, book = Shadows(), load_price_book()
    for number in range(MOST_KINDS + 10):
        shadows.count(Shadowed(shadow.pk, None, "no_target"), ended(f"team-{number}"), None, book)
    assert len(shadows.take()) == MOST_KINDS


def test_counts_of_a_shadow_that_is_gone_are_dropped(shadow: Shadow) -> None:
    shadows = Shadows()
    shadows.count(Shadowed(shadow.pk + 1, target()), ended(), None, load_price_book())
    store_shadows(shadows.take(), NOW)
    assert not ShadowCount.objects.exists()


def test_the_picture_has_the_draft_beside_its_route_until_it_is_ended(shadow: Shadow) -> None:
    found = load_snapshot().shadows
    assert found["live"].draft.name == "draft"
    assert found["live"].until == shadow.until.timestamp()
    with changing(Actor("test", "system")) as change:
        shadow.enabled = False
        change.save(shadow)
    assert not load_snapshot().shadows


def test_a_draft_that_can_show_nothing_is_refused_in_words(shadow: Shadow) -> None:
    with pytest.raises(ValidationError, match="beside itself"), changing(Actor("test", "system")) as change:
        change.save(Shadow(live=shadow.live, draft=shadow.live, until=NOW))
    with pytest.raises(ValidationError, match="already"), changing(Actor("test", "system")) as change:
        change.save(Shadow(live=shadow.live, draft=shadow.draft, until=NOW))
    shadow.live.enabled = False
    with pytest.raises(ValidationError, match="disabled"), changing(Actor("test", "system")) as change:
        change.save(Shadow(live=shadow.draft, draft=shadow.live, until=NOW))
