"""An export leads back to the same configuration, shows no secret, and is always written in the same order."""

import pytest
import yaml
from django.db import connection

from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Membership, Project, Team, User, VirtualKey
from accounting.services import has_secret, revoke_key
from routing.declarative import export_config, import_config
from routing.models import Credential, ModelAlias, Provider, Route, RouteTarget
from tests.routing.declared import ENVIRON, apply, whole

pytestmark = pytest.mark.django_db

VALUES = {
    "ANTHROPIC_MAIN_API_KEY": ENVIRON["UPSTREAM_KEY"],
    "PLATFORM_DEFAULT_CI_SECRET": ENVIRON["CI_KEY"],
    "PLATFORM_DEFAULT_ADA_SECRET": "imported-key-canary-0009",
}


def empty() -> None:
    for model in (ModelAlias, RouteTarget, Route, Credential, Provider, VirtualKey, Project, Membership, Team, User):
        model._default_manager.all().delete()
    AuditEvent.objects.all().delete()


def varied() -> None:
    content = whole()
    content["providers"][1]["enabled"] = False
    content["routes"][0]["targets"].insert(0, {"provider": "local", "model": "z", "tier": 0, "weight": 0})
    content["aliases"].append({"name": "odd-$${NAME}", "route": "sonnet", "enabled": False})
    content["teams"][0]["projects"][0]["keys"][0]["tags"] = {"z${y": "$${HOME}", "note": "Grüße: #1"}
    content["teams"].append({"name": "quiet", "enabled": False, "allowed_models": []})
    apply(content)


def test_an_export_into_an_empty_database_gives_the_same_configuration() -> None:
    varied()
    exported = export_config()
    assert set(exported.variables) == set(VALUES)
    empty()
    import_config(exported.text.encode(), environ=VALUES)
    assert export_config().text == exported.text
    assert has_secret(VirtualKey.objects.get(name="ci"), ENVIRON["CI_KEY"])
    assert Credential.objects.get(provider__name="anthropic-main").values == {"api_key": ENVIRON["UPSTREAM_KEY"]}
    assert VirtualKey.objects.get(name="ci").tags == {"z${y": "${HOME}", "note": "Grüße: #1"}
    assert import_config(exported.text.encode(), environ=VALUES, prune=True).lines == ()


def test_an_export_applied_where_it_was_made_changes_no_more_than_the_secrets_given() -> None:
    varied()
    with changing(Actor("ada@example.org", "user")) as change:
        revoke_key(change, ENVIRON["CI_KEY"])
    environ = {**VALUES, "PLATFORM_DEFAULT_ADA_SECRET": "another-key-canary-0009"}
    lines = import_config(export_config().text.encode(), environ=environ, prune=True).lines
    assert {line.split(":")[0] for line in lines} == {"changed key platform/default/ada"}


def test_an_export_shows_no_secret() -> None:
    varied()
    exported = export_config()
    assert "canary" not in exported.text + str(exported.variables) + str(exported.notes)
    parsed = yaml.safe_load(exported.text)
    assert parsed["providers"][0]["credential"] == {"kind": "api_key", "api_key": "${ANTHROPIC_MAIN_API_KEY}"}
    keys = parsed["teams"][0]["projects"][0]["keys"]
    assert [key["secret"] for key in keys] == ["${PLATFORM_DEFAULT_ADA_SECRET}", "${PLATFORM_DEFAULT_CI_SECRET}"]


def test_values_of_a_credential_that_are_not_secret_are_written_as_they_are() -> None:
    values = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "canary", "role_arn": "arn:aws:iam::1:role/x"}
    content = whole()
    content["providers"][1].update(format="bedrock", region="us-east-1", credential={"kind": "aws", **values})
    apply(content)
    assert yaml.safe_load(export_config().text)["providers"][1]["credential"] == {
        "kind": "aws",
        "access_key_id": "AKIAEXAMPLE",
        "secret_access_key": "${LOCAL_SECRET_ACCESS_KEY}",
        "role_arn": "arn:aws:iam::1:role/x",
    }


def test_names_that_read_alike_get_different_variables() -> None:
    project = {"keys": [{"name": "c"}]}
    apply(
        {
            "teams": [
                {"name": "a", "projects": [{"name": "b-c", **project}]},
                {"name": "a-b", "projects": [{"name": "c", **project}]},
                {"name": "9", "projects": [{"name": "c", **project}]},
            ]
        }
    )
    assert list(export_config().variables) == ["_9_C_C_SECRET", "A_B_C_C_SECRET", "A_B_C_C_SECRET_2"]


def test_an_unreadable_credential_is_exported_as_a_reference_with_a_note() -> None:
    apply(whole())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE routing_credential SET \"values\" = 'not-ours' WHERE kind = 'api_key'")
    exported = export_config()
    assert yaml.safe_load(exported.text)["providers"][0]["credential"]["api_key"] == "${ANTHROPIC_MAIN_API_KEY}"
    assert exported.notes == ("the credential of the provider anthropic-main cannot be read; check its values",)


def test_a_revoked_key_is_not_exported() -> None:
    apply(whole())
    with changing(Actor("ada@example.org", "user")) as change:
        revoke_key(change, ENVIRON["CI_KEY"])
    (project,) = yaml.safe_load(export_config().text)["teams"][0]["projects"]
    assert [key["name"] for key in project["keys"]] == ["ada"]


def test_an_owner_without_a_team_is_told_about() -> None:
    apply(whole())
    Membership.objects.filter(user__email="ada@example.org").delete()
    assert any("ada@example.org owns a key" in note for note in export_config().notes)
