"""The pages that explain a request: in the console for everything, at /explain/ for one's own keys."""

from django.test import Client
from django.urls import reverse

from accounting.audit.changes import Actor, changing
from accounting.models import Membership, Project, Team, User, VirtualKey
from accounting.services import create_key, create_user
from tests.pages.conftest import World, make_record, signed_in


def text_of(client: Client, address: str, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_question_in_the_address_is_answered(world: World) -> None:
    page = text_of(signed_in(world.admin), reverse("admin:explain"), key=world.key.prefix, model="claude-sonnet-4-5")
    assert "claude-sonnet-4-5 goes to main as claude-sonnet-4-5." in page
    assert "platform" in page


def test_a_pasted_request_is_answered_and_not_kept(world: World) -> None:
    console = signed_in(world.admin)
    body = '{"model": "claude-sonnet-4-5", "max_tokens": 5, "messages": []}'
    answer = console.post(reverse("admin:explain"), {"key": world.key.prefix, "format": "anthropic", "body": body})
    assert "goes to main" in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]


def test_what_is_wrong_stands_beside_the_field(world: World) -> None:
    console = signed_in(world.admin)
    page = console.post(reverse("admin:explain"), {"key": world.key.prefix, "body": "{"}).content.decode()
    assert "The pasted request is not JSON" in page
    assert "No key has the prefix" in text_of(console, reverse("admin:explain"), key="gw_nothing", model="x")


def test_a_stored_request_leads_to_its_explanation(world: World) -> None:
    console = signed_in(world.admin)
    record = make_record(request_id="req_7", key_prefix=world.key.prefix, alias="claude-sonnet-4-5")
    link = f"{reverse('admin:explain')}?request=req_7"
    assert link in text_of(console, reverse("admin:accounting_requestrecord_change", args=[record.pk]))
    page = text_of(console, reverse("admin:explain"), request="req_7")
    assert "What happened to the stored request" in page
    assert "goes to main" in page


def member(email: str, team: Team, role: str = "member") -> User:
    with changing(Actor("test", "system")) as change:
        user = create_user(change, email)
        change.save(Membership(team=team, user=user, role=role))
    return user


def key_of(team: Team, name: str, owner: User | None = None) -> VirtualKey:
    with changing(Actor("test", "system")) as change:
        project = Project.objects.filter(team=team).first() or Project(team=team, name="default")
        if project._state.adding:
            change.save(project)
        kind = "personal" if owner else "service"
        return create_key(change, project, name, kind=kind, owner=owner)[0]


def test_a_member_sees_own_and_service_keys_and_nobody_elses(world: World) -> None:
    me, colleague = member("me@example.org", world.team), member("you@example.org", world.team)
    mine, theirs = key_of(world.team, "mine", me), key_of(world.team, "theirs", colleague)
    with changing(Actor("test", "system")) as change:
        other = Team(name="other")
        change.save(other)
    elsewhere = key_of(other, "elsewhere")
    browser, address = signed_in(me), reverse("routing:explain")
    page = text_of(browser, address)
    assert mine.prefix in page
    assert world.key.prefix in page
    for key in (theirs, elsewhere):
        assert key.prefix not in page
        answer = browser.post(address, {"key": key.prefix, "model": "claude-sonnet-4-5"}).content.decode()
        assert "goes to main" not in answer
        assert "not one of the available choices" in answer
    answer = browser.post(address, {"key": mine.prefix, "model": "claude-sonnet-4-5"}).content.decode()
    assert "goes to main" in answer


def test_a_member_asks_about_own_stored_requests_only(world: World) -> None:
    me = member("me@example.org", world.team)
    mine, theirs = key_of(world.team, "mine", me), key_of(world.team, "theirs", member("you@example.org", world.team))
    make_record(request_id="req_mine", key_prefix=mine.prefix, alias="claude-sonnet-4-5")
    make_record(request_id="req_theirs", key_prefix=theirs.prefix, alias="claude-sonnet-4-5")
    browser, address = signed_in(me), reverse("routing:explain")
    assert "What happened to the stored request" in text_of(browser, address, request="req_mine")
    assert "What happened to the stored request" not in text_of(browser, address, request="req_theirs")


def test_somebody_without_keys_is_told_what_to_do(world: World) -> None:
    with changing(Actor("test", "system")) as change:
        nobody = create_user(change, "nobody@example.org")
    assert "You have no key" in text_of(signed_in(nobody), reverse("routing:explain"))
    assert Client().get(reverse("routing:explain")).status_code == 302
