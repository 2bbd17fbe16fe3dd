"""What an import writes: everything in the file, nothing twice, nothing that the file does not mention."""

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Membership, Project, Team, User, VirtualKey
from accounting.services import has_secret, revoke_key
from routing.declarative import ConfigRefused, export_config
from routing.models import Credential, ModelAlias, Provider, Route, RouteTarget
from routing.snapshot import load_snapshot
from tests.routing.declared import ENVIRON, apply, whole

pytestmark = pytest.mark.django_db


def events() -> int:
    return AuditEvent.objects.count()


def key(name: str = "ci") -> VirtualKey:
    return VirtualKey.objects.get(name=name)


def disabled() -> dict[str, set[str]]:
    return {
        "aliases": set(ModelAlias.objects.filter(enabled=False).values_list("name", flat=True)),
        "routes": set(Route.objects.filter(enabled=False).values_list("name", flat=True)),
        "targets": set(RouteTarget.objects.filter(enabled=False).values_list("model", flat=True)),
        "providers": set(Provider.objects.filter(enabled=False).values_list("name", flat=True)),
        "teams": set(Team.objects.filter(enabled=False).values_list("name", flat=True)),
        "projects": set(Project.objects.filter(enabled=False).values_list("name", flat=True)),
        "keys": set(VirtualKey.objects.filter(enabled=False).values_list("name", flat=True)),
    }


def test_everything_in_the_file_is_stored() -> None:
    result = apply(whole())
    alias = load_snapshot().find("claude-sonnet-4-5")
    assert alias is not None
    assert alias.display_name == "Claude Sonnet 4.5"
    assert [(each.provider.name, each.model, each.tier, each.weight) for each in alias.route.targets] == [
        ("anthropic-main", "claude-sonnet-4-5", 0, 80),
        ("local", "m", 1, 1),
    ]
    assert alias.route.retry_on == {"connect", "timeout", 429, 529}
    assert alias.route.targets[0].provider.idle_timeout == 90.5
    assert Credential.objects.get(provider__name="anthropic-main").values == {"api_key": ENVIRON["UPSTREAM_KEY"]}
    assert set(Membership.objects.values_list("user__email", "role")) == {
        ("ada@example.org", "owner"),
        ("bob@example.org", "member"),
    }
    ci = key()
    assert has_secret(ci, ENVIRON["CI_KEY"])
    assert (ci.expires_at, ci.allowed_models, ci.allowed_ips, ci.tags) == (
        datetime(2099, 6, 30, tzinfo=UTC),
        ["claude-sonnet-*"],
        ["10.0.0.0/8"],
        {"cost_center": "4711"},
    )
    (made,) = result.keys
    assert (made.team, made.project, made.name) == ("platform", "default", "ada")
    assert has_secret(key("ada"), made.secret.reveal())


def test_the_second_application_changes_nothing() -> None:
    apply(whole())
    before, revision = events(), load_snapshot().revision
    for prune in (False, True):
        result = apply(whole(), prune=prune)
        assert (result.lines, result.keys) == ((), ())
    assert (events(), load_snapshot().revision) == (before, revision)


def test_a_dry_run_tells_the_difference_and_writes_nothing() -> None:
    apply(whole())
    before = events()
    content = whole()
    content["routes"][0]["cooldown"] = 60
    content["providers"][0]["credential"]["api_key"] = "sk-ant-canary-0002"
    content["aliases"].append({"name": "new", "route": "sonnet"})
    del content["aliases"][1]
    result = apply(content, dry_run=True, prune=True)
    assert set(result.lines) == {
        "changed route sonnet: cooldown: 30 → 60",
        'changed credential api_key of anthropic-main: values: {"api_key": "***"} → {"api_key": "*** (changed)"}',
        "created alias new",
        "disabled alias claude-sonnet-4-5-*",
    }
    assert "canary" not in str(result)
    assert events() == before
    assert Route.objects.get().cooldown == 30
    assert ModelAlias.objects.count() == 2
    assert apply(content, prune=True).lines == result.lines


def test_a_dry_run_makes_no_key() -> None:
    apply(whole(), dry_run=True)
    assert not VirtualKey.objects.exists()
    assert not Provider.objects.exists()


def test_keys_that_the_file_leaves_out_stay_as_they_are() -> None:
    apply(whole())
    apply({"teams": [{"name": "platform", "projects": [{"name": "default", "keys": [{"name": "ci"}]}]}]})
    team = Team.objects.get()
    assert (team.timezone, team.display_name) == ("Europe/Berlin", "Platform engineering")
    assert key().allowed_models == ["claude-sonnet-*"]
    assert has_secret(key(), ENVIRON["CI_KEY"])
    apply({"routes": [{"name": "sonnet", "cooldown": 7}], "providers": [{"name": "local", "max_connections": 9}]})
    assert Route.objects.get().targets.count() == 2
    assert Credential.objects.get(provider__name="local").kind == "none"


def test_references_may_lead_to_what_is_stored() -> None:
    apply(whole())
    apply({"aliases": [{"name": "more", "route": "sonnet"}]})
    more = [{"name": "late", "kind": "personal", "owner": "bob@example.org", "secret": "x" * 20}]
    apply({"teams": [{"name": "platform", "projects": [{"name": "default", "keys": more}]}]})
    assert str(key("late").owner) == "bob@example.org"
    assert ModelAlias.objects.get(name="more").route.name == "sonnet"


def test_another_secret_replaces_the_stored_one_and_is_audited_as_rotated() -> None:
    apply(whole())
    result = apply(whole(), environ={**ENVIRON, "CI_KEY": "imported-key-canary-0002"})
    assert has_secret(key(), "imported-key-canary-0002")
    assert result.keys == ()
    event = AuditEvent.objects.latest("id")
    assert (event.action, event.actor, event.actor_kind, event.object_name) == (
        "rotated",
        "import_config",
        "command",
        "platform/default/ci",
    )
    assert "canary" not in str(result.lines) + str(event.changes)


def test_a_revoked_key_stays_revoked_until_it_gets_another_secret() -> None:
    apply(whole())
    with changing(Actor("ada@example.org", "user")) as change:
        revoke_key(change, ENVIRON["CI_KEY"])
    result = apply(whole())
    assert result.lines == ()
    assert result.notes == (
        "the key platform/default/ci is revoked and stays so; give it another secret, or another name",
    )
    assert key().revoked_at is not None
    apply(whole(), environ={**ENVIRON, "CI_KEY": "imported-key-canary-0002"})
    assert key().revoked_at is None


def test_a_key_with_an_owner_is_personal_and_a_service_key_takes_none() -> None:
    content = whole()
    content["teams"][0]["projects"][0]["keys"] = [
        {"name": "hers", "owner": "ada@example.org"},
        {"name": "robot", "kind": "service", "owner": "ada@example.org"},
    ]
    result = apply(content)
    assert (key("hers").kind, str(key("hers").owner)) == ("personal", "ada@example.org")
    assert (key("robot").kind, key("robot").owner) == ("service", None)
    assert "the key platform/default/robot is a service key; its owner is not used" in result.notes
    assert apply(content).lines == ()


def test_pruning_disables_what_is_missing_and_deletes_nothing_but_memberships() -> None:
    apply(whole())
    content = whole()
    content["providers"].append(
        {"name": "other", "base_url": "https://other.example.com", "credential": {"kind": "none"}}
    )
    content["routes"].append({"name": "old", "targets": [{"provider": "other", "model": "m"}]})
    content["aliases"].append({"name": "old", "route": "old"})
    content["teams"].append({"name": "other", "projects": [{"name": "p", "keys": [{"name": "k"}]}]})
    content["teams"][0]["projects"].append({"name": "second"})
    apply(content)
    less = whole()
    del less["routes"][0]["targets"][1]
    del less["teams"][0]["members"][1]
    del less["teams"][0]["projects"][0]["keys"][1]
    apply(less)
    assert {kind for kind, names in disabled().items() if names} == {"targets"}  # a list of them is the whole list
    result = apply(less, prune=True)
    assert disabled() == {
        "aliases": {"old"},
        "routes": {"old"},
        "targets": {"m"},
        "providers": {"other"},
        "teams": {"other"},
        "projects": {"second"},
        "keys": {"ada"},
    }
    assert "disabled provider other" in result.lines
    assert list(Membership.objects.values_list("user__email", flat=True)) == ["ada@example.org"]
    assert User.objects.filter(email="bob@example.org").exists()
    assert "bob@example.org is no longer a member of the team platform; the account stays" in result.notes
    assert apply(less, prune=True).lines == ()


def test_what_an_import_pruned_comes_back_when_the_file_mentions_it_again() -> None:
    apply(whole())
    less = whole()
    less["aliases"], less["teams"] = less["aliases"][:1], []
    less["routes"][0]["targets"] = less["routes"][0]["targets"][:1]
    apply(less, prune=True)
    assert load_snapshot().find("claude-sonnet-4-5-x") is None
    content = whole()
    del content["teams"][0]["projects"][0]["keys"][0]["enabled"]
    apply(content)
    assert not any(disabled().values())


def test_what_a_person_disabled_stays_disabled_until_the_file_says_otherwise() -> None:
    content = whole()
    del content["teams"][0]["projects"][0]["keys"][0]["enabled"]
    apply(content)
    with changing(Actor("ada@example.org", "user")) as change:
        stored = key()
        stored.enabled = False
        change.save(stored)
    result = apply(content)
    assert not key().enabled
    assert result.notes == (
        "the key platform/default/ci is disabled and stays so; the file does not say enabled: true",
    )
    apply(whole())
    assert key().enabled


def test_targets_follow_the_order_of_the_file() -> None:
    content = whole()
    content["routes"][0]["targets"] = [{"provider": "local", "model": model} for model in ("a", "b", "c")]
    apply(content)
    content["routes"][0]["targets"].reverse()
    apply(content)
    alias = load_snapshot().find("claude-sonnet-4-5")
    assert alias is not None
    assert [each.model for each in alias.route.targets] == ["c", "b", "a"]
    assert apply(content).lines == ()


def test_a_list_of_targets_is_the_whole_list() -> None:
    def served() -> list[str]:
        alias = load_snapshot().find("claude-sonnet-4-5")
        assert alias is not None
        return [each.model for each in alias.route.targets]

    content = whole()
    for models in (["a"], ["b"], ["a", "c"]):
        content["routes"][0]["targets"] = [{"provider": "local", "model": model} for model in models]
        apply(content)
        assert served() == models
        assert apply(content).lines == ()
    del content["routes"][0]["targets"]
    apply(content)
    assert served() == ["a", "c"]


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([{"provider": "local", "model": "m", "weight": 0}], "Every enabled target has the weight zero"),
        ([{"provider": "local", "model": "m", "enabled": False}], "Every target of this route is disabled"),
    ],
)
def test_a_route_that_could_serve_nothing_is_refused(targets: list[Any], said: str) -> None:
    content = whole()
    content["routes"][0]["targets"] = targets
    with pytest.raises(ConfigRefused) as error:
        apply(content)
    assert said in str(error.value)
    assert str(error.value).startswith("routes[0].targets: ")


def test_a_route_that_waits_for_a_disabled_provider_is_taken_with_a_note() -> None:
    content = whole()
    for provider in content["providers"]:
        provider["enabled"] = False
    (note,) = apply(content).notes
    assert note.startswith("the route sonnet: Every target of this route is disabled")


def test_a_pattern_can_take_the_place_of_an_equal_one_that_is_pruned() -> None:
    content = whole()
    content["aliases"] = [{"name": "claude-*-a", "route": "sonnet"}]
    apply(content)
    content["aliases"] = [{"name": "claude-a-*", "route": "sonnet"}]
    with pytest.raises(ConfigRefused, match=r"aliases\[0\].name: As specific as 'claude-\*-a'"):
        apply(content)
    apply(content, prune=True)
    assert load_snapshot().find("claude-a-1") is not None


def test_numbers_and_flags_may_come_from_the_environment() -> None:
    content = whole()
    content["providers"][0].update(max_connections="${N}", connect_timeout="${S}", enabled="${F}")
    apply(content, environ={**ENVIRON, "N": "7", "S": "2.5", "F": "false"})
    provider = Provider.objects.get(name="anthropic-main")
    assert (provider.max_connections, float(provider.connect_timeout), provider.enabled) == (7, 2.5, False)


def test_a_secret_of_digits_from_the_environment_stays_a_text() -> None:
    apply(whole(), environ={**ENVIRON, "CI_KEY": "12345678901234567890"})
    assert has_secret(key(), "12345678901234567890")


@pytest.mark.parametrize(
    ("expires", "stored"),
    [
        ("2027-06-30", datetime(2027, 6, 30, tzinfo=UTC)),
        ("2027-06-30T12:00:00+02:00", datetime(2027, 6, 30, 10, tzinfo=UTC)),
        ("2027-06-30 12:00:00", datetime(2027, 6, 30, 12, tzinfo=UTC)),
        ("null", None),
    ],
)
def test_times_without_a_zone_are_utc(expires: str, stored: datetime | None) -> None:
    apply(whole())
    text = f"teams: [{{name: platform, projects: [{{name: default, keys: [{{name: ci, expires: {expires}}}]}}]}}]"
    apply(text)
    assert key().expires_at == stored
    assert apply(text).lines == ()


def test_an_empty_retry_list_is_kept_empty() -> None:
    content = whole()
    content["routes"][0]["retry_on"] = []
    apply(content)
    assert Route.objects.get().retry_on == []
    assert apply(content).lines == ()


def test_deadline_and_limit_of_a_target_are_applied_and_exported() -> None:
    content = whole()
    content["routes"][0]["deadline"] = 12.5
    content["routes"][0]["targets"][0]["max_concurrent"] = 40
    apply(content)
    route = load_snapshot().aliases["claude-sonnet-4-5"].route
    assert (route.deadline, [target.max_concurrent for target in route.targets]) == (12.5, [40, 0])
    exported = yaml.safe_load(export_config().text)["routes"][0]
    assert (exported["deadline"], exported["targets"][0]["max_concurrent"]) == (12.5, 40)
    assert apply(content).lines == ()
