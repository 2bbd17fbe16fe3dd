"""Sign-in, the wait after failures, and the link that makes the first administrator."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounting.accounts.lockout import MOST_FAILURES
from accounting.models import AuditEvent, OneTimeLink, User
from accounting.services import first_admin_link
from tests.pages.conftest import PASSWORD, World, signed_in

GOOD = {"email": "Ada@Example.org", "password": PASSWORD}


def test_sign_in_leads_where_one_wanted_to_go(world: World) -> None:
    response = Client().post("/accounts/login/", {**GOOD, "next": "/admin/routing/route/"})
    assert response.headers["location"] == "/admin/routing/route/"


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_sign_in_never_leads_to_another_host(elsewhere: str, world: World) -> None:
    assert Client().post("/accounts/login/", {**GOOD, "next": elsewhere}).headers["location"] == "/"


def test_wrong_password_and_unknown_person_read_the_same(world: World) -> None:
    texts = []
    for email in ("ada@example.org", "nobody@example.org"):
        page = Client().post("/accounts/login/", {"email": email, "password": "wrong"}).content.decode()
        assert "do not fit together" in page
        texts.append(page.split("<h1>")[1].split("<form")[0])
    assert texts[0] == texts[1]


def test_five_failures_make_a_wait_even_for_the_right_password(world: World) -> None:
    client = Client()
    for _ in range(MOST_FAILURES):
        assert client.post("/accounts/login/", {**GOOD, "password": "wrong"}).status_code == 200
    refused = client.post("/accounts/login/", GOOD)
    assert refused.status_code == 429
    assert "Wait 15 minutes" in refused.content.decode()
    assert int(refused.headers["retry-after"]) > 0
    elsewhere = Client(REMOTE_ADDR="203.0.113.50").post("/accounts/login/", GOOD)
    assert elsewhere.status_code == 302, "another address is not made to wait"


def test_a_success_forgets_earlier_failures(world: World) -> None:
    client = Client()
    for _ in range(MOST_FAILURES - 1):
        client.post("/accounts/login/", {**GOOD, "password": "wrong"})
    assert client.post("/accounts/login/", GOOD).status_code == 302
    assert Client().post("/accounts/login/", {**GOOD, "password": "wrong"}).status_code == 200


def test_address_behind_a_trusted_proxy_is_the_clients(world: World, settings: Settings) -> None:
    settings.GATEWAY_TRUSTED_PROXIES = ["10.0.0.0/8"]
    for _ in range(MOST_FAILURES + 1):
        client = Client(REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="198.51.100.9, 10.0.0.7")
        last = client.post("/accounts/login/", {**GOOD, "password": "wrong"})
    assert last.status_code == 429
    other = Client(REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="198.51.100.10")
    assert other.post("/accounts/login/", GOOD).status_code == 302


def test_forwarded_address_of_an_untrusted_peer_is_not_believed(world: World) -> None:
    for number in range(MOST_FAILURES + 1):
        client = Client(HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
        last = client.post("/accounts/login/", {**GOOD, "password": "wrong"})
    assert last.status_code == 429


def test_signing_out_takes_a_post(world: World) -> None:
    client = signed_in(world.admin)
    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/").headers["location"] == "/accounts/login/"
    assert client.get("/admin/").status_code == 302


def test_a_person_who_may_not_sign_in_cannot(world: World) -> None:
    world.admin.is_active = False
    world.admin.save()
    assert Client().post("/accounts/login/", GOOD).status_code == 200


@pytest.mark.django_db
class TestFirstAdministrator:
    def _link(self) -> str:
        token = first_admin_link()
        assert token
        return f"/accounts/first/{token}/"

    def _answers(self, **changes: str) -> dict[str, str]:
        return {"email": "first@example.org", "password": PASSWORD, "again": PASSWORD, **changes}

    def test_link_makes_an_administrator_and_signs_in_once(self) -> None:
        address, client = self._link(), Client()
        assert client.get(address).status_code == 200
        assert client.post(address, self._answers()).headers["location"] == "/admin/"
        assert client.get("/admin/").status_code == 200
        assert User.objects.get(email="first@example.org").is_superuser
        assert AuditEvent.objects.filter(object_type="user", action="created").exists()
        again = Client().post(address, self._answers(email="second@example.org"))
        assert again.status_code == 410
        assert not User.objects.filter(email="second@example.org").exists()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"password": "short", "again": "short"}, "too short"),
            ({"password": "password123", "again": "password123"}, "too common"),
            ({"again": "something else 77"}, "not the same"),
            ({"email": "no address"}, "valid email"),
        ],
    )
    def test_refused_values_say_why_and_leave_the_link_open(self, changes: dict[str, str], words: str) -> None:
        address = self._link()
        page = Client().post(address, self._answers(**changes))
        assert words in page.content.decode()
        assert PASSWORD not in page.content.decode()
        assert not User.objects.exists()
        assert Client().post(address, self._answers()).status_code == 302

    def test_expired_link_is_gone_and_says_what_to_do(self) -> None:
        address = self._link()
        OneTimeLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        page = Client().get(address)
        assert page.status_code == 410
        assert b"Restart the development server" in page.content
        assert b"create_admin --email" in page.content, "the command as it works, not without what it asks for"

    def test_unknown_link_is_not_found(self) -> None:
        assert Client().get("/accounts/first/nothing-like-it/").status_code == 404


def test_open_link_ends_when_there_is_an_administrator_already(world: World) -> None:
    User.objects.filter(is_superuser=True).update(is_superuser=False)
    token = first_admin_link()
    User.objects.filter(email="ada@example.org").update(is_superuser=True)
    assert Client().get(f"/accounts/first/{token}/").status_code == 410


def test_changing_ones_password_asks_for_the_old_one_and_is_audited(world: World) -> None:
    client = signed_in(world.admin)
    fresh = {"new_password1": "another fine phrase 1", "new_password2": "another fine phrase 1"}
    assert client.post("/admin/password_change/", {"old_password": "no", **fresh}).status_code == 200
    assert client.post("/admin/password_change/", {"old_password": PASSWORD, **fresh}).status_code == 302
    event = AuditEvent.objects.get(action="password changed")
    assert event.actor == "ada@example.org"
    assert "fine phrase" not in str(event.changes)
    assert client.get("/admin/").status_code == 200, "the session goes on"
