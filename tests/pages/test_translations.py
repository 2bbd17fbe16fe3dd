"""The dashboard in other languages: each catalogue is complete, its placeholders are the English ones, and pages come in it."""

import ast
import gettext
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from django.core.paginator import Paginator
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.utils import timezone, translation
from django.utils.translation import override, pgettext

from accounting.audit.changes import Actor, StaleVersion, changing
from accounting.models import AuditEvent, RequestRecord
from accounting.templatetags.console import dollars, grouped, milliseconds, outcome_pill, rate
from accounting.templatetags.dashboard import exact_count, iso_moment, plain_cents, readable
from accounting.words import KINDS, WORDS, word
from tests.pages.conftest import World, signed_in

ROOT = Path(__file__).parents[2]
LANGUAGES = [code for code, _ in settings.LANGUAGES if code != "en"]
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")
MARKED = re.compile(r"""\{% translate (?:"([^"]+)"|'([^']+)')""")
PAGES = {"de": "Anfragen", "fr": "Requêtes", "ja": "リクエスト"}


def _folder(language: str) -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES"


def _compiled(language: str) -> dict[str, str]:
    """msgid → translation, as pages use them; of plurals the first form."""
    with (_folder(language) / "django.mo").open("rb") as file:
        catalogue: dict[object, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    firsts = ((key[0] if isinstance(key, tuple) else key, text) for key, text in catalogue.items() if _is_first(key))
    return {str(msgid): text for msgid, text in firsts}


def _is_first(key: object) -> bool:
    """Of a plural, a catalogue has an entry for each form: (msgid, number of the form)."""
    return not isinstance(key, tuple) or key[1] == 0


def _written(language: str) -> Iterator[tuple[str, str, list[str]]]:
    """(context, msgid, translations) of the source of a catalogue."""
    for entry in (_folder(language) / "django.po").read_text(encoding="utf-8").split("\n\n"):
        found: dict[str, str] = {}
        name = ""
        for line in entry.splitlines():
            if match := re.match(r'(msg[a-z_]+(?:\[\d\])?) (".*")$', line):
                name = match[1]
                found[name] = ast.literal_eval(match[2])
            elif line.startswith('"') and name:
                found[name] += ast.literal_eval(line)
        if found.get("msgid"):
            texts = [text for name, text in found.items() if name.startswith("msgstr")]
            yield found.get("msgctxt", ""), found["msgid"], texts


def _marked() -> set[str]:
    """What the dashboard's templates mark for translation."""
    found: set[str] = set()
    for file in (ROOT / "templates").rglob("*.html"):
        if "admin" not in file.parts:
            found |= {one or two for one, two in MARKED.findall(file.read_text(encoding="utf-8"))}
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_is_complete(language: str) -> None:
    written = list(_written(language))
    assert len(written) > 1000
    assert [msgid for _, msgid, texts in written if not texts or not all(texts)] == []
    assert _marked() - {msgid for _, msgid, _texts in written} == set(), "run makemessages, and translate these"


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_survive(language: str) -> None:
    """Of a plural, the form for one may leave the number out."""
    for _, msgid, texts in _written(language):
        for text in texts:
            unknown = set(PLACEHOLDER.findall(text)) - set(PLACEHOLDER.findall(msgid.replace("%%", "")))
            assert not unknown or len(texts) > 1, (msgid, text)
        if len(texts) == 1:
            assert sorted(PLACEHOLDER.findall(texts[-1])) == sorted(PLACEHOLDER.findall(msgid)), (msgid, texts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    compiled = _compiled(language)
    for context, msgid, texts in _written(language):
        assert compiled[f"{context}\x04{msgid}" if context else msgid] == texts[0], "run compilemessages"


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_come_in_the_language_that_a_browser_asks_for(language: str, world: World) -> None:
    browser: Client = signed_in(world.stranger)
    for page in ("", "usage/", "requests/", "keys/", "budgets/", "models/", "setup/", "members/", "alerts/"):
        answer = browser.get(f"/teams/platform/{page}", headers={"accept-language": language})
        assert answer.status_code == 200, page
        assert f'<html lang="{language}"' in answer.content.decode(), page
        assert PAGES[language] in answer.content.decode(), page


@pytest.mark.parametrize(
    ("language", "count", "sum_", "small", "time", "price"),
    [
        ("en", "1,234,567", "$1,234.50", "$0.00123", "1.6 s", "3.75"),
        ("de", "1.234.567", "$1.234,50", "$0,00123", "1,6 s", "3,75"),
        ("fr", "1\xa0234\xa0567", "$1\xa0234,50", "$0,00123", "1,6 s", "3,75"),
    ],
)
def test_numbers_of_a_page_have_the_separators_of_its_language(
    language: str, count: str, sum_: str, small: str, time: str, price: str
) -> None:
    """All of them: 1,234 beside 1.234,50 would be read a thousand times too small."""
    with override(language):
        assert grouped(1_234_567) == exact_count(1_234_567) == count
        assert dollars(Decimal("1234.5")) == plain_cents(Decimal("1234.5")) == sum_
        assert dollars(Decimal("0.001230")) == small
        assert milliseconds(1_600) == time
        assert rate(Decimal("3.750")) == rate("3.75") == price


def test_figures_of_an_explanation_read_like_those_of_pages() -> None:
    assert readable("$408.049215508 and $0.25 reserved") == "$408.05 and $0.25 reserved"
    assert readable("$1234.5") == "$1,234.50"
    assert readable("120000") == "120,000"
    assert readable("not known here") == "not known here"
    with timezone.override("America/New_York"):
        assert ">30 Nov 2026 18:00</time>" in iso_moment("2026-12-01T00:00:00+01:00")
    assert iso_moment("") == "—"


def test_an_outcome_is_told_in_the_language_of_the_page() -> None:
    with override("de"):
        assert ">beantwortet<" in outcome_pill(RequestRecord(outcome="served"))
    with override("en"):
        assert ">upstream error<" in outcome_pill(RequestRecord(outcome="upstream_error"))


@pytest.mark.parametrize("page", ["/admin/", "/admin/accounting/team/add/", "/explain/", "/api/v1/keys/"])
def test_what_is_not_translated_is_english_as_a_whole(world: World, page: str) -> None:
    """Django's own words and numbers too."""
    answer = signed_in(world.admin).get(page, headers={"accept-language": "de"})
    assert answer.headers["content-language"] == "en"
    assert "lang=" not in answer.content.decode() or '<html lang="en' in answer.content.decode()


def test_an_invitation_says_which_language_it_is_in(client: Client, world: World) -> None:
    answer = client.get("/invitations/none/", headers={"accept-language": "de"})
    assert '<html lang="de"' in answer.content.decode()
    assert "Diese Einladung gilt nicht" in answer.content.decode()


@pytest.mark.parametrize("page", ["/accounts/login/", "/accounts/first/none/", "/nowhere/"])
def test_signing_in_and_plain_pages_come_in_the_language_that_a_browser_asks_for(
    client: Client, world: World, page: str
) -> None:
    said = {"/accounts/login/": "Passwort", "/accounts/first/none/": "Dieser Link gilt nicht"}
    answer = client.get(page, headers={"accept-language": "de"}).content.decode()
    assert '<html lang="de"' in answer
    assert said.get(page, "Diese Seite gibt es nicht") in answer
    assert '<html lang="en"' in client.get(page, headers={"accept-language": "en"}).content.decode()


def test_a_wrong_password_is_refused_in_the_language_of_the_page(client: Client, world: World) -> None:
    values = {"email": world.stranger.email, "password": "wrong"}
    answer = client.post("/accounts/login/", values, headers={"accept-language": "fr"}).content.decode()
    assert "ne correspondent pas" in answer
    assert "do not fit together" not in answer


def test_a_refusal_is_german_on_the_page_and_english_in_the_api(world: World) -> None:
    """Of the same key name, given twice, to the same browser."""
    browser, german = signed_in(world.admin), {"accept-language": "de"}
    name, project = world.key.name, world.project
    values = {"once": "a-form", "name": name, "project": project.pk, "kind": "service", "budget_period": "month"}
    page = browser.post(f"/teams/{project.team.name}/keys/new/", values, headers=german).content.decode()
    assert "In diesem Projekt hat bereits ein Schlüssel diesen Namen" in page
    asked = {"project": project.name, "team": project.team.name, "name": name, "kind": "service"}
    answer = browser.post("/api/v1/keys/", asked, content_type="application/json", headers=german)
    assert answer.status_code == 400
    assert "A key of this project has this name already" in answer.content.decode()


def test_what_was_changed_is_told_in_words_of_the_language(world: World) -> None:
    with changing(Actor("ada@example.org", "command")) as change:
        world.project.display_name = "Everything"
        change.save(world.project)
    event = AuditEvent.objects.filter(object_type="project").latest("id")
    assert (event.action, list(event.changes)) == ("changed", ["display_name"])
    address = f"/teams/{world.project.team.name}/activity/"
    page = signed_in(world.admin).get(address, headers={"accept-language": "de"}).content.decode()
    assert re.search(r'<span class="pill[^"]*">geändert</span> Projekt<', page)
    assert "Anzeigename:" in page
    assert ">Befehl<" in page


def test_a_stored_word_has_its_own_text_or_is_shown_as_it_is() -> None:
    with override("de"):
        assert word("budget_exceeded") == "Budget überschritten"
        assert word("upstream_529") == "Anbieter: 529"
        assert word("some_new_reason") == "some new reason"
    with override("en"):
        assert [name for name, text in WORDS.items() if name not in KINDS and str(text) != name.replace("_", " ")] == []


def test_a_stale_form_says_what_changed_in_the_language_of_the_page(world: World) -> None:
    with override("de"):
        assert "Projekt" in str(StaleVersion(world.project, ("display_name",), deleted=False))
        assert "(Anzeigename)" in str(StaleVersion(world.project, ("display_name",), deleted=False))
    with override("en"):
        text = str(StaleVersion(world.project, ("display_name",), deleted=False))
    assert text == (
        f"The project {world.project.team.name}/{world.project.name} was changed by someone else in the meantime "
        "(display_name); look again, then save."
    )


def test_a_state_agrees_with_its_noun_where_nouns_have_a_gender(world: World) -> None:
    """A project is désactivé, a key désactivée: one English word, two texts."""
    for row in (world.project, world.key):
        row.enabled = False
        row.save()
    browser = signed_in(world.stranger)
    for page, state in (("projects/", "désactivé"), ("projects/default/", "désactivé"), ("keys/", "désactivée")):
        answer = browser.get(f"/teams/platform/{page}", headers={"accept-language": "fr"}).content.decode()
        assert re.search(rf'<span class="pill[^"]*">{state}</span>', answer), page


def test_a_moment_and_a_condition_are_two_words_where_a_language_has_two() -> None:
    with override("ja"):
        assert (translation.gettext("When"), pgettext("condition", "When")) == ("日時", "条件")


def test_lists_that_are_not_by_time_have_no_newer_and_older_pages() -> None:
    listed = Paginator(range(30), 10).get_page(2)
    pager, request = "dashboard/partials/pager.html", RequestFactory().get("/")
    by_name = render_to_string(pager, {"listed": listed, "by_name": True}, request)
    assert (">Previous<" in by_name, ">Next<" in by_name, "Newer" in by_name) == (True, True, False)
    assert ">Newer<" in render_to_string(pager, {"listed": listed}, request)


def test_a_checkbox_is_not_called_optional(world: World) -> None:
    page = signed_in(world.admin).get("/teams/platform/budgets/new/").content.decode()
    assert re.search(r'<label class="check" for="id_hard"><input type="checkbox"[^>]*>[^<]*</label>', page)
    assert re.search(r'<label for="id_soft">[^<]* <span class="optional">optional</span></label>', page)
