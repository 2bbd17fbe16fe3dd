"""One's own profile: what one chooses, where one is signed in, the password; and what administrators end."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounting.accounts.browsers import browser_of
from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, SignIn, User
from accounting.services import create_key
from tests.pages.conftest import PASSWORD, World, signed_in

PROFILE, SIGN_INS, OWN_PASSWORD = "/profile/", "/profile/sign-ins/", "/profile/password/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
FRESH = {"new_password1": "another fine phrase 1", "new_password2": "another fine phrase 1"}


def by_password(user: User, **more: str) -> Client:
    client = Client(**more)  # type: ignore[arg-type]
    assert client.post("/accounts/login/", {"email": user.email, "password": PASSWORD}).status_code == 302
    return client


def is_in(client: Client) -> bool:
    return client.get(PROFILE).status_code == 200


def own(user: User) -> list[SignIn]:
    return list(SignIn.objects.filter(user=user).order_by("id"))


class TestSignIns:
    def test_are_listed_with_browser_and_address_and_which_one_this_is(self, world: World) -> None:
        here = by_password(world.stranger, HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR="203.0.113.9")
        by_password(world.admin, REMOTE_ADDR="198.51.100.4")
        page = here.get(PROFILE).content.decode()
        assert "Firefox, Linux" in page
        assert "203.0.113.9" in page
        assert page.count("this one") == 1
        assert "198.51.100.4" not in page, "another person's"

    def test_one_is_ended_by_another_at_once(self, world: World) -> None:
        here, there = by_password(world.stranger), by_password(world.stranger)
        here.post(SIGN_INS, {"which": str(own(world.stranger)[1].pk)})
        assert (is_in(here), is_in(there)) == (True, False)
        assert Session.objects.count() == 1, "the session is gone for sockets too"
        event = AuditEvent.objects.get(action="signed out")
        assert (event.actor, event.object_name) == (world.stranger.email, world.stranger.email)

    def test_all_others_are_ended_and_this_one_goes_on(self, world: World) -> None:
        here, *others = (by_password(world.stranger) for _ in range(3))
        elsewhere = by_password(world.admin)
        here.post(SIGN_INS, {"which": "others"})
        assert [is_in(each) for each in (here, *others, elsewhere)] == [True, False, False, True]

    @pytest.mark.parametrize("which", ["", "x", "-1", "99999999999999999999", "0"])
    def test_nonsense_ends_nothing(self, which: str, world: World) -> None:
        here, there = by_password(world.stranger), by_password(world.stranger)
        assert here.post(SIGN_INS, {"which": which}).status_code == 302
        assert is_in(here)
        assert is_in(there)

    def test_nobody_ends_another_persons(self, world: World) -> None:
        theirs, mine = by_password(world.admin), by_password(world.stranger)
        mine.post(SIGN_INS, {"which": str(own(world.admin)[0].pk)})
        assert is_in(theirs)

    def test_a_deleted_sign_in_ends_its_session_though_that_still_exists(self, world: World) -> None:
        here = by_password(world.stranger)
        SignIn.objects.all().delete()
        assert not is_in(here)

    def test_signing_out_takes_it_off_the_list(self, world: World) -> None:
        here = by_password(world.stranger)
        here.post("/accounts/logout/")
        assert own(world.stranger) == []

    def test_a_session_from_before_is_listed_when_it_comes_back(self, world: World) -> None:
        here = by_password(world.stranger)
        SignIn.objects.all().delete()
        session = here.session
        del session["sign_in"]
        session.save()
        assert is_in(here)
        assert len(own(world.stranger)) == 1

    def test_last_seen_is_written_once_a_minute_at_most(
        self, world: World, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        here = by_password(world.stranger)
        with django_assert_max_num_queries(14) as counted:
            here.get(PROFILE)
        assert not any(query["sql"].startswith("UPDATE") for query in counted.captured_queries)
        long_ago = timezone.now() - timedelta(hours=1)
        SignIn.objects.update(last_seen=long_ago)
        User.objects.update(last_seen=long_ago)
        here.get(PROFILE)
        assert own(world.stranger)[0].last_seen > long_ago
        assert User.objects.get(pk=world.stranger.pk).last_seen > long_ago  # type: ignore[operator]

    def test_the_database_keeps_nothing_to_go_on_with(self, world: World) -> None:
        here = by_password(world.stranger)
        key = here.cookies["sessionid"].value
        assert key not in str(list(Session.objects.values())) + str(list(SignIn.objects.values()))
        thief = Client()
        thief.cookies["sessionid"] = Session.objects.get().session_key
        assert not is_in(thief)

    def test_an_administrator_ends_all_of_a_person(self, world: World) -> None:
        theirs = [by_password(world.stranger) for _ in range(2)]
        address = reverse("admin:accounting_user_sign_ins", args=[world.stranger.pk])
        assert signed_in(world.auditor).post(address).status_code == 403
        assert signed_in(world.stranger).post(address, follow=True).status_code == 403
        console = signed_in(world.admin)
        assert b"Sign out everywhere" in console.get(address).content
        console.post(address)
        assert not any(is_in(each) for each in theirs)
        assert is_in(console)

    @pytest.mark.parametrize(
        ("agent", "words"),
        [
            (FIREFOX, "Firefox, Linux"),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 "
             "Safari/537.36 Edg/142.0", "Edge, Windows"),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
             "Version/18.5 Mobile/15E148 Safari/604.1", "Safari, iPhone"),
            ("", ""),
        ],
    )  # fmt: skip
    def test_browsers_are_named_as_people_know_them(self, agent: str, words: str) -> None:
        assert browser_of(agent) == words


class TestPassword:
    def test_a_change_signs_out_everywhere_else(self, world: World) -> None:
        here, there = by_password(world.stranger), by_password(world.stranger)
        assert here.post(OWN_PASSWORD, {"old_password": PASSWORD, **FRESH}).status_code == 302
        assert (is_in(here), is_in(there)) == (True, False)
        assert [row.pk for row in own(world.stranger)] == [here.session["sign_in"]]
        event = AuditEvent.objects.get(action="password changed")
        assert "fine phrase" not in str(event.changes)

    @pytest.mark.parametrize(
        ("form", "words"),
        [
            ({"old_password": "wrong", **FRESH}, "incorrectly"),
            ({"old_password": PASSWORD, "new_password1": "12345", "new_password2": "12345"}, "too short"),
        ],
    )
    def test_refusals_say_why_and_change_nothing(self, form: dict[str, str], words: str, world: World) -> None:
        page = by_password(world.stranger).post(OWN_PASSWORD, form)
        assert words in page.content.decode()
        assert User.objects.get(pk=world.stranger.pk).check_password(PASSWORD)

    def test_guessing_the_old_one_in_a_session_left_open_ends_in_a_wait(self, world: World) -> None:
        here = by_password(world.stranger)
        for _ in range(5):
            here.post(OWN_PASSWORD, {"old_password": "wrong", **FRESH})
        assert here.post(OWN_PASSWORD, {"old_password": PASSWORD, **FRESH}).status_code == 429
        assert User.objects.get(pk=world.stranger.pk).check_password(PASSWORD)

    def test_one_set_by_an_administrator_signs_the_person_out(self, world: World) -> None:
        theirs = by_password(world.stranger)
        address = reverse("admin:accounting_user_password", args=[world.stranger.pk])
        signed_in(world.admin).post(address, FRESH)
        assert not is_in(theirs)
        assert own(world.stranger) == []


class TestPreferences:
    def test_language_is_followed_and_comes_back_at_sign_in(self, world: World, settings: Settings) -> None:
        settings.LANGUAGES = [("en", "English"), ("de", "Deutsch")]
        here = by_password(world.stranger)
        here.post(PROFILE, {"timezone": "Asia/Tokyo", "language": "de", "theme": "dark"})
        page = here.get(PROFILE).content.decode()
        assert '<html lang="de"' in page
        assert 'data-theme="dark"' in page
        elsewhere = by_password(world.stranger)
        assert '<html lang="de"' in elsewhere.get(PROFILE).content.decode()
        elsewhere.post(PROFILE, {"timezone": "", "language": "", "theme": "auto"})
        assert '<html lang="en"' in elsewhere.get(PROFILE).content.decode()

    def test_a_single_language_is_not_offered_as_a_choice(self, world: World, settings: Settings) -> None:
        settings.LANGUAGES = [("en", "English")]
        assert b"as the browser" not in by_password(world.stranger).get(PROFILE).content

    @pytest.mark.parametrize("wrong", [{"timezone": "Mars/Olympus"}, {"language": "tlh"}, {"theme": "loud"}])
    def test_what_does_not_exist_is_refused_and_nothing_saved(self, wrong: dict[str, str], world: World) -> None:
        form = {"timezone": "Asia/Tokyo", "language": "en", "theme": "dark", **wrong}
        assert by_password(world.stranger).post(PROFILE, form).status_code == 200
        user = User.objects.get(pk=world.stranger.pk)
        assert (user.timezone, user.language, user.theme) == ("", "", "auto")

    def test_a_change_is_in_the_audit_log_and_reloads_nothing_of_others(self, world: World) -> None:
        by_password(world.stranger).post(PROFILE, {"timezone": "UTC", "language": "", "theme": "auto"})
        event = AuditEvent.objects.filter(object_type="user", action="changed").latest("id")
        assert event.changes == {"timezone": ["", "UTC"]}


def test_own_keys_of_all_teams_are_shown_and_no_others(world: World) -> None:
    with changing(Actor("tests", "system")) as change:
        create_key(change, world.project, "laptop", kind="personal", owner=world.stranger)
        create_key(change, world.project, "adas-laptop", kind="personal", owner=world.admin)
    page = by_password(world.stranger).get(PROFILE).content.decode()
    assert "laptop" in page
    assert "adas-laptop" not in page
    assert ">ci<" not in page


def test_strangers_are_sent_to_sign_in(world: World) -> None:
    assert Client().get(PROFILE).headers["location"].startswith("/accounts/login/")
    for address in (SIGN_INS, OWN_PASSWORD):
        assert Client().post(address).status_code == 302
        assert by_password(world.stranger).get(address).status_code == 405
