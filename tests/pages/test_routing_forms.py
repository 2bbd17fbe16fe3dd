"""Conditions, the end of names, who uses what and what a change would move, in the console."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Revision
from routing.models import ModelAlias, Route, RouteTarget
from routing.selectors import who_serves
from routing.services import save_alias, save_route
from tests.pages.conftest import World, make_record, signed_in
from tests.pages.page_form import fields_of


def page_of(row: Any) -> str:
    return reverse(f"admin:routing_{row._meta.model_name}_change", args=[row.pk])


def opened(client: Client, row: Any) -> dict[str, Any]:
    return fields_of(client.get(page_of(row)).content, f"{row._meta.model_name}_form")


@pytest.fixture
def eu(world: World) -> Route:
    with changing(Actor("set-up", "system")) as change:
        route = Route(name="eu")
        save_route(change, route, [RouteTarget(provider=world.provider, model="claude-eu")])
    return route


def asked(number: int, **values: object) -> None:
    fields: dict[str, object] = {
        "request_id": f"req_asked_{number}", "alias": "claude-sonnet-4-5", "route": "sonnet", "team": "platform",
        "project": "default", "key": "ci", "key_prefix": "gw_ci", "session_id": f"s{number}",
    }  # fmt: skip
    make_record(**{**fields, **values})


LINES = 'team=platform stream=true -> eu\ntag.env="a b" prompt_tokens_above=9 -> eu'


def test_conditions_are_written_as_lines_and_come_back_as_they_were(world: World, eu: Route, console: Client) -> None:
    mine = opened(console, world.route)
    assert mine["conditions"] == ""
    assert console.post(page_of(world.route), {**mine, "conditions": LINES}).status_code == 302
    stored = Route.objects.get(pk=world.route.pk)
    assert stored.conditions == [
        {"when": {"team": ["platform"], "stream": True}, "route": "eu"},
        {"when": {"tag": {"env": ["a b"]}, "prompt_tokens_above": 9}, "route": "eu"},
    ]
    mine = opened(console, world.route)
    assert mine["conditions"] == LINES
    events = AuditEvent.objects.count()
    assert console.post(page_of(world.route), mine).status_code == 302
    assert AuditEvent.objects.count() == events, "nothing was changed"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("teem=x -> eu", "Line 1: &#x27;teem&#x27; is not a test; did you mean team?"),
        ("team=x", "Line 1: it does not say where to"),
        ("team=x -> nowhere", "Condition 1: There is no route nowhere."),
        ("team=x -> sonnet", "Condition 1: This leads in a circle: sonnet → sonnet."),
    ],
)
def test_a_wrong_condition_is_refused_beside_its_field(
    line: str, sentence: str, world: World, eu: Route, console: Client
) -> None:
    response = console.post(page_of(world.route), {**opened(console, world.route), "conditions": line})
    assert response.status_code == 200
    assert sentence in response.content.decode()
    assert fields_of(response.content, "route_form")["conditions"] == line.replace("&#x27;", "'")
    assert Route.objects.get(pk=world.route.pk).conditions == []


def test_disabling_what_conditions_lead_to_is_refused_in_words(world: World, eu: Route, console: Client) -> None:
    console.post(page_of(world.route), {**opened(console, world.route), "conditions": "team=x -> eu"})
    mine = opened(console, eu)
    del mine["enabled"]
    response = console.post(page_of(eu), mine)
    assert "Conditions of the route sonnet would lead nowhere: The route eu is disabled." in response.content.decode()
    assert Route.objects.get(pk=eu.pk).enabled
    address = reverse("admin:routing_route_delete", args=[eu.pk])
    page = console.post(address, {"post": "yes"}, follow=True).content.decode()
    assert "Conditions of the routes sonnet lead to the route eu" in page
    assert Route.objects.filter(pk=eu.pk).exists()


def test_a_name_is_deprecated_in_its_form_and_its_state_shows_in_the_list(world: World, console: Client) -> None:
    with changing(Actor("set-up", "system")) as change:
        save_alias(change, ModelAlias(name="claude-new", route=world.route))
    mine = opened(console, world.alias)
    wrong = console.post(page_of(world.alias), {**mine, "successor": "claude-newer"})
    assert "Nothing serves claude-newer" in wrong.content.decode()
    wrong = console.post(page_of(world.alias), {**mine, "retires_on": "2026-06-01T00:00:00"})
    assert "To forward after its retirement it needs a successor" in wrong.content.decode()
    right = {**mine, "deprecated_on": "2026-01-01T00:00:00", "successor": "claude-new", "deprecation_text": "Old."}
    assert console.post(page_of(world.alias), right).status_code == 302
    stored = ModelAlias.objects.get(pk=world.alias.pk)
    assert stored.deprecated_on == datetime(2026, 1, 1, tzinfo=UTC)
    listing = reverse("admin:routing_modelalias_changelist")
    assert ">deprecated<" in console.get(listing).content.decode()
    assert "Model alias, deprecated" in console.get(page_of(world.alias)).content.decode()
    ModelAlias.objects.filter(pk=world.alias.pk).update(retires_on=datetime(2026, 2, 1, tzinfo=UTC))
    assert ">retired<" in console.get(listing).content.decode()
    soon = datetime.now(UTC) + timedelta(days=1)
    ModelAlias.objects.filter(pk=world.alias.pk).update(deprecated_on=soon, retires_on=None)
    assert ">deprecation planned<" in console.get(listing).content.decode()


def test_pages_show_who_uses_a_route_and_a_name(world: World, eu: Route, console: Client) -> None:
    for number in range(3):
        asked(number)
    asked(3, route="eu", key="by-condition")
    asked(4, started_at=datetime.now(UTC) - timedelta(days=8), key="long-ago")
    asked(5, operation="models", key="only-lists")
    section = console.get(page_of(world.route)).content.decode().split('id="callers"')[1].split("</section>")[0]
    assert "ci" in section
    assert '<td class="num">3</td>' in section
    assert "by-condition" not in section
    whole = console.get(page_of(world.alias)).content.decode()
    assert f'href="{reverse("admin:routing_route_who_serves")}?model={world.alias.name}"' in whole
    named = whole.split('id="callers"')[1].split("</section>")[0]
    assert "by-condition" in named
    assert "long-ago" not in named + section
    assert "only-lists" not in named + section
    other = console.get(page_of(eu)).content.decode().split('id="callers"')[1]
    assert "by-condition" in other


def test_a_preview_says_what_would_move_and_saves_nothing(world: World, eu: Route, console: Client) -> None:
    for number in range(4):
        asked(number, stream=number == 0)
    mine = opened(console, world.route)
    before = AuditEvent.objects.count(), Revision.objects.get(name="routing").number
    tried = {**mine, "conditions": "team=platform stream=true -> eu", "cooldown": "77", "_preview": "1"}
    response = console.post(page_of(world.route), tried)
    page = response.content.decode()
    assert response.status_code == 200
    shown = page.split('id="preview"')[1].split("</section>")[0]
    assert "1 of 4 recent requests would go elsewhere" in shown
    assert "sonnet: main/claude-sonnet-4-5" in shown
    assert "eu: main/claude-eu" in shown
    assert "if team=platform stream=true: eu: main/claude-eu" in shown
    assert "platform/ci" in shown
    assert "errornote" not in page
    stored = Route.objects.get(pk=world.route.pk)
    assert (stored.conditions, stored.cooldown) == ([], 30)
    assert (AuditEvent.objects.count(), Revision.objects.get(name="routing").number) == before
    # What was typed is still there, and can be saved.
    again = fields_of(response.content, "route_form")
    assert (again["conditions"], again["cooldown"]) == ("team=platform stream=true -> eu", "77")
    assert console.post(page_of(world.route), again).status_code == 302
    assert Route.objects.get(pk=world.route.pk).cooldown == 77


def test_a_preview_of_a_change_without_effect_says_so(world: World, console: Client) -> None:
    asked(1)
    response = console.post(page_of(world.route), {**opened(console, world.route), "cooldown": "9", "_preview": "1"})
    shown = response.content.decode().split('id="preview"')[1].split("</section>")[0]
    assert "No name would be served differently." in shown
    assert "None of the latest 1 requests would go elsewhere." in shown


def test_a_preview_of_something_wrong_shows_the_errors_instead(world: World, console: Client) -> None:
    wrong = {**opened(console, world.route), "targets-0-weight": "0", "_preview": "1"}
    page = console.post(page_of(world.route), wrong).content.decode()
    assert "Every enabled target has the weight zero" in page
    assert 'id="preview"' not in page


def test_a_new_name_and_its_end_are_previewed(world: World, eu: Route, console: Client) -> None:
    asked(1, alias="claude-unknown")
    add = reverse("admin:routing_modelalias_add")
    mine = fields_of(console.get(add).content, "modelalias_form")
    response = console.post(add, {**mine, "name": "claude-un*", "route": eu.pk, "_preview": "1"})
    shown = response.content.decode().split('id="preview"')[1].split("</section>")[0]
    assert "nobody: 404" in shown
    assert "1 of 1 recent requests would go elsewhere" in shown
    assert not ModelAlias.objects.filter(name="claude-un*").exists()
    asked(2)
    old = {**opened(console, world.alias), "retires_on": "2026-01-01T00:00:00", "after_retirement": "refuse"}
    old |= {"deprecated_on": "2025-01-01T00:00:00", "_preview": "1"}
    shown = console.post(page_of(world.alias), old).content.decode().split('id="preview"')[1]
    assert "(retired, then refuse)" in shown
    assert "nobody: 404" in shown
    assert ModelAlias.objects.get(pk=world.alias.pk).retires_on is None


def test_an_auditor_sees_the_pages_and_no_preview_button(world: World) -> None:
    auditor = signed_in(world.auditor)
    Route.objects.update(conditions=[{"when": {"team": ["a b"]}, "route": "eu"}])
    page = auditor.get(page_of(world.route)).content.decode()
    assert "team=&quot;a b&quot; -&gt; eu" in page
    assert 'id="callers"' in page
    assert 'name="_preview"' not in page
    assert auditor.post(page_of(world.route), {"_preview": "1"}).status_code == 403


def test_a_switch_is_on_the_page_of_its_record(world: World, console: Client) -> None:
    record = make_record(request_id="req_switched", switched_from="main/claude-a", switch_tokens=12345)
    page = console.get(reverse("admin:accounting_requestrecord_change", args=[record.pk])).content.decode()
    assert "main/claude-a: it served this session before, and 12,345 cached tokens were probably left there" in page


def in_order(world: World) -> list[tuple[int, str]]:
    rows = world.route.targets.order_by("tier", "position", "pk")
    return [(target.tier, target.model) for target in rows]


def test_the_numbers_order_the_targets_of_a_tier(world: World, console: Client) -> None:
    for place, model in enumerate(("b", "c"), 1):
        world.route.targets.create(provider=world.provider, model=model, position=place)
    address = reverse("admin:routing_route_change", args=[world.route.pk])
    form = fields_of(console.get(address).content, "route_form")
    assert [form[f"targets-{row}-place"] for row in range(3)] == ["1", "2", "3"]
    assert console.post(address, {**form, "targets-0-place": "3", "targets-2-place": "1"}).status_code == 302
    assert in_order(world) == [(0, "c"), (0, "b"), (0, "claude-sonnet-4-5")]
    form = fields_of(console.get(address).content, "route_form")
    moved = {"targets-0-tier": "1", "targets-0-place": "1"}
    assert console.post(address, {**form, **moved}).status_code == 302
    assert in_order(world) == [(0, "b"), (0, "claude-sonnet-4-5"), (1, "c")], "the tier goes first"


def test_the_order_is_what_the_strategy_priority_goes_by(world: World, console: Client) -> None:
    world.route.targets.create(provider=world.provider, model="b", position=1)
    address = reverse("admin:routing_route_change", args=[world.route.pk])
    form = fields_of(console.get(address).content, "route_form")
    swapped = {"strategy": "priority", "targets-0-place": "2", "targets-1-place": "1"}
    assert console.post(address, {**form, **swapped}).status_code == 302
    shares = who_serves("claude-sonnet-4-5").shares
    assert [(share.model, share.percent) for share in shares] == [("b", 100.0), ("claude-sonnet-4-5", 0.0)]


@pytest.mark.parametrize("place", ["0", "-1", "x", "1.5", "999999999999"])
def test_a_place_is_a_number(place: str, world: World, console: Client) -> None:
    address = reverse("admin:routing_route_change", args=[world.route.pk])
    form = fields_of(console.get(address).content, "route_form")
    assert console.post(address, {**form, "targets-0-place": place}).status_code == 200


def test_an_order_that_somebody_else_has_changed_is_not_overwritten(world: World, console: Client) -> None:
    world.route.targets.create(provider=world.provider, model="b", position=1)
    address = reverse("admin:routing_route_change", args=[world.route.pk])
    form = fields_of(console.get(address).content, "route_form")
    swapped = {**form, "targets-0-place": "2", "targets-1-place": "1"}
    assert console.post(address, swapped).status_code == 302
    answer = console.post(address, {**form, "targets-0-place": "5"})
    assert answer.status_code == 200
    assert "while you were editing" in answer.content.decode()
    assert in_order(world) == [(0, "b"), (0, "claude-sonnet-4-5")]
