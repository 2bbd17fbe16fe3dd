"""Import and export in the console: what is shown is what is applied, or else it is shown anew; secrets stay where they are."""

import re
from typing import Any

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Team, VirtualKey
from routing.models import ConfigProposal, ConfigVersion, Credential, Route
from tests.pages.conftest import PROVIDER_SECRET, World, signed_in
from tests.pages.page_form import fields_of

ADDRESS = "/admin/configuration/"


def exported(console: Client) -> dict[str, Any]:
    document = yaml.safe_load(console.get(f"{ADDRESS}export/").content)
    assert isinstance(document, dict)
    return document


def shown(console: Client, document: Any, **more: Any) -> str:
    text = document if isinstance(document, str) else yaml.safe_dump(document)
    response = console.post(ADDRESS, {"text": text, "part": "all", "show": "yes", **more})
    assert response.status_code == 200
    return response.content.decode()


def applied(console: Client, page: str) -> Any:
    form = fields_of(page.encode(), "apply_form")
    return console.post(ADDRESS, {**form, "apply": "yes"})


def test_the_export_is_a_download_without_secrets(world: World, console: Client) -> None:
    response = console.get(f"{ADDRESS}export/")
    text = response.content.decode()
    assert response.headers["content-disposition"].startswith('attachment; filename="gateway-')
    assert "# ${MAIN_API_KEY}: api_key of the provider main" in text
    assert PROVIDER_SECRET not in text
    assert world.key_secret.reveal() not in text


def test_an_export_that_is_imported_changes_nothing_and_asks_for_no_secret(world: World, console: Client) -> None:
    page = shown(console, console.get(f"{ADDRESS}export/").content.decode())
    assert "Nothing to change" in page
    assert "2 secrets stay as stored" in page
    assert "apply_form" not in page


def test_what_is_shown_is_applied_in_one_and_nothing_before(world: World, console: Client) -> None:
    document = exported(console)
    document["routes"][0]["cooldown"] = 77
    document["teams"][0]["display_name"] = "The platform"
    document["teams"].append({"name": "blue"})
    page = shown(console, document, reason="spring cleaning")
    for words in ("route sonnet", "team platform", "team blue", ">30</td>", ">77</td>", "2 changed, 1 created"):
        assert words in page, words
    assert Route.objects.get().cooldown == 30, "nothing is changed by looking"
    assert applied(console, page).status_code == 302
    assert (Route.objects.get().cooldown, Team.objects.get(name="platform").display_name) == (77, "The platform")
    assert Team.objects.filter(name="blue").exists()
    version = ConfigVersion.objects.first()
    assert version is not None
    assert (version.actor, version.reason) == ("ada@example.org", "spring cleaning")
    assert Credential.objects.get().values == {"api_key": PROVIDER_SECRET}
    assert {each.actor for each in AuditEvent.objects.filter(object_name="blue")} == {"ada@example.org"}


def test_a_change_in_between_is_shown_anew_instead_of_applied(world: World, console: Client) -> None:
    document = exported(console)
    document["routes"][0]["cooldown"] = 77
    page = shown(console, document)
    with changing(Actor("bob@example.org", "user")) as change:
        theirs = Route.objects.get()
        theirs.cooldown = 50
        change.save(theirs)
    answer = applied(console, page)
    assert answer.status_code == 200
    again = answer.content.decode()
    assert "was changed meanwhile" in again
    assert ">50</td>" in again
    assert Route.objects.get().cooldown == 50
    assert applied(console, again).status_code == 302
    assert Route.objects.get().cooldown == 77


def test_a_second_submit_does_no_harm(world: World, console: Client) -> None:
    document = exported(console)
    document["routes"][0]["cooldown"] = 77
    page = shown(console, document)
    assert applied(console, page).status_code == 302
    events = AuditEvent.objects.count()
    assert applied(console, page).status_code == 200
    assert AuditEvent.objects.count() == events


def test_problems_come_with_their_place_and_line(world: World, console: Client) -> None:
    text = "version: 1\nroutes:\n- name: sonnet\n  cooldown: soon\naliases:\n- name: x\n  route: sonet\n"
    page = shown(console, text)
    for words in ("Refused: 2 problems", "routes[0].cooldown", "aliases[0].route", "did you mean sonnet?"):
        assert words in page, words
    assert re.search(r'<td class="num">4</td><td class="wrap-any"><code>routes', page)
    assert "version: 1\nroutes:" in page, "what was typed is kept"
    assert "not YAML: line 1" in shown(console, "a: [")


def test_prune_disables_what_is_not_mentioned(world: World, console: Client) -> None:
    document = exported(console)
    document["aliases"] = []
    assert "Nothing to change" in shown(console, document)
    page = shown(console, document, prune="on")
    assert "alias claude-sonnet-4-5" in page
    assert applied(console, page).status_code == 302
    world.alias.refresh_from_db()
    assert not world.alias.enabled


def test_one_part_leaves_the_other_as_it_is(world: World, console: Client) -> None:
    document = exported(console)
    document["routes"][0]["cooldown"] = 77
    document["teams"][0]["display_name"] = "The platform"
    assert applied(console, shown(console, document, part="people")).status_code == 302
    assert (Route.objects.get().cooldown, Team.objects.get().display_name) == (30, "The platform")
    document["teams"] = []
    assert applied(console, shown(console, document, part="routing", prune="on")).status_code == 302
    assert (Route.objects.get().cooldown, Team.objects.get().enabled) == (77, True)


def test_with_approval_routing_waits_and_a_mixed_file_is_taken_in_two_parts(
    world: World, console: Client, settings: Settings
) -> None:
    settings.GATEWAY_CONFIG_APPROVAL = True
    document = exported(console)
    document["routes"][0]["cooldown"] = 77
    document["teams"][0]["display_name"] = "The platform"
    mixed = shown(console, document)
    assert "another administrator has to approve" in mixed
    assert "apply_form" not in mixed
    answer = applied(console, shown(console, document, part="routing"))
    assert "/configproposal/" in answer.headers["location"]
    assert Route.objects.get().cooldown == 30
    assert ConfigProposal.objects.get().state == "open"
    assert applied(console, shown(console, document, part="people")).status_code == 302
    assert Team.objects.get().display_name == "The platform"


def test_new_keys_are_shown_once(world: World, console: Client) -> None:
    document = exported(console)
    document["teams"][0]["projects"][0]["keys"].append({"name": "laptop"})
    page = shown(console, document)
    assert "1 key without a secret in the file" in page
    assert not re.search(r"gw_\w{8}_\w+", page), "a key that is only tried is nobody's"
    answer = applied(console, page)
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    key = VirtualKey.objects.get(name="laptop")
    assert re.search(rf"{key.prefix}_\w+</code>", answer.content.decode())
    assert not re.search(rf"{key.prefix}_\w+", console.get(ADDRESS).content.decode())


def test_values_for_references_are_asked_for_used_and_not_shown(world: World, console: Client) -> None:
    document = exported(console)
    document["providers"].append(
        {
            "name": "second",
            "base_url": "https://b.example.com",
            "credential": {"kind": "api_key", "api_key": "${SECOND}"},
        }
    )
    page = shown(console, document)
    assert "SECOND has no value" in page
    assert 'name="value_SECOND"' in page
    page = shown(console, document, value_SECOND="sk-the-second-secret")
    assert "sk-the-second-secret" not in page
    assert applied(console, page).status_code == 302
    assert Credential.objects.get(provider__name="second").values == {"api_key": "sk-the-second-secret"}


def test_neither_files_nor_the_environment_of_the_server_can_be_read(
    world: World, console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_SERVER", "canary-in-the-environment")
    document = exported(console)
    document["teams"][0]["display_name"] = "${OF_THE_SERVER}${file:/etc/hostname}"
    page = shown(console, document)
    assert "canary-in-the-environment" not in page
    assert "read by the command import_config only" in page or "has no value" in page
    assert Team.objects.get().display_name == ""


@pytest.mark.parametrize("place", ["display_name", "anchor"])
def test_a_stored_secret_gets_to_no_other_place(place: str, world: World, console: Client) -> None:
    text = console.get(f"{ADDRESS}export/").content.decode()
    if place == "display_name":
        text = text.replace("display_name: ''", "display_name: ${MAIN_API_KEY}")
    else:  # one mapping in two places
        document = yaml.safe_load(text)
        document["teams"][0]["projects"][0]["keys"][0]["tags"] = document["providers"][0]["credential"]
        text = yaml.safe_dump(document)
        assert "&id001" in text
    page = shown(console, text)
    assert PROVIDER_SECRET not in page
    if "apply_form" in page:
        applied(console, page)
    assert PROVIDER_SECRET not in str(list(VirtualKey.objects.values_list("tags", flat=True)))
    assert PROVIDER_SECRET not in str(list(AuditEvent.objects.values_list("changes", flat=True)))


def test_an_upload_is_looked_at_and_kept_for_the_next_step(world: World, console: Client) -> None:
    document = exported(console)
    document["routes"][0]["cooldown"] = 77
    file = SimpleUploadedFile("mine.yaml", yaml.safe_dump(document).encode())
    response = console.post(ADDRESS, {"text": "", "file": file, "part": "all", "show": "yes"})
    page = response.content.decode()
    assert "mine.yaml" in page
    again = fields_of(response.content, "import_form")
    assert "route sonnet" in console.post(ADDRESS, {**again, "show": "yes"}).content.decode(), (
        "it need not be sent again"
    )
    assert applied(console, page).status_code == 302
    assert Route.objects.get().cooldown == 77


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"text": "", "part": "all"}, "Paste a file, or choose one."),
        ({"text": "a: 1", "part": "nothing"}, "Select a valid choice"),
        ({"text": "x" * (1024 * 1024 + 1), "part": "all"}, "larger than 1 MB"),
        ({"text": "a: \0", "part": "all"}, "Null characters are not allowed"),
        ({"text": "version: 1", "part": "all", "sealed": "nonsense"}, "Nothing to change"),
        ({"text": "", "part": "all", "sealed": "nonsense"}, "Paste a file, or choose one."),
    ],
)
def test_bad_entries_are_answered_in_words(sent: dict[str, str], words: str, world: World, console: Client) -> None:
    assert words in console.post(ADDRESS, {**sent, "show": "yes"}).content.decode()


def test_what_somebody_else_looked_at_cannot_be_applied(world: World, console: Client) -> None:
    from accounting.services import create_admin

    document = exported(console)
    document["routes"][0]["cooldown"] = 77
    form = fields_of(shown(console, document).encode(), "apply_form")
    with changing(Actor("set-up", "system")) as change:
        other = create_admin(change, "bob@example.org")
    for sealed in (form["sealed"], "nonsense", ""):
        answer = signed_in(other).post(ADDRESS, {**form, "sealed": sealed, "apply": "yes"}, follow=True)
        assert "look at it again" in answer.content.decode()
    assert Route.objects.get().cooldown == 30


def test_auditors_neither_import_nor_export(world: World) -> None:
    auditor = signed_in(world.auditor)
    for answer in (auditor.get(ADDRESS), auditor.get(f"{ADDRESS}export/"), auditor.post(ADDRESS, {"apply": "yes"})):
        assert answer.status_code == 403
