"""Keys in the REST API: who sees which, who may do what to them, and that a secret is in one answer only."""

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounting import services
from accounting.access.directory import load_directory, refusal_of
from accounting.access.secrets import is_well_formed
from accounting.audit.changes import StaleVersion, changing
from accounting.keyring.orders import revise, revoke, rotate, switch
from accounting.limits.asking import Party
from accounting.models import AuditEvent, Budget, KeyUse, Project, RateLimit, User, VirtualKey
from tests.accounting.test_api_limits import SYSTEM, World

pytestmark = pytest.mark.django_db
KEYS = "/api/v1/keys/"


class KeyWorld(World):
    """The teams of the tests about budgets, with keys: alpha's service key and mia's own, and one of beta."""

    def __init__(self) -> None:
        super().__init__()
        with changing(SYSTEM) as change:
            project = Project.objects.get(team=self.alpha)
            self.service = VirtualKey.objects.get(name="ci")
            self.mias, self.secret = services.create_key(
                change, project, "mia-laptop", kind="personal", owner=self.people["mia"]
            )
            other = Project(team=self.beta, name="default")
            change.save(other)
            self.betas, _ = services.create_key(change, other, "ci")

    def patch(self, who: str, key: VirtualKey, body: dict[str, Any]) -> Any:
        client, headers = Client(), {}
        if who in self.tokens:
            headers["authorization"] = f"Bearer {self.tokens[who]}"
        else:
            client.force_login(User.objects.get(email=f"{who}@example.org"))
        return client.patch(f"{KEYS}{key.pk}/", json.dumps(body), content_type="application/json", headers=headers)


@pytest.fixture
def world() -> KeyWorld:
    return KeyWorld()


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        ("admin", {"alpha/ci", "alpha/mia-laptop", "beta/ci"}),
        ("auditor", {"alpha/ci", "alpha/mia-laptop", "beta/ci"}),
        ("alpha-viewer", {"alpha/ci", "alpha/mia-laptop"}),
        ("beta-owner", {"beta/ci"}),
        ("root", {"alpha/ci", "alpha/mia-laptop", "beta/ci"}),
        ("vic", {"alpha/ci", "alpha/mia-laptop"}),
        ("eve", {"beta/ci"}),
        ("sam", set()),
    ],
)
def test_everybody_sees_the_keys_of_their_teams(world: KeyWorld, who: str, seen: set[str]) -> None:
    listed = world.call(who, KEYS).json()["results"]
    assert {f"{key['team']}/{key['name']}" for key in listed} == seen
    answer = world.call(who, f"{KEYS}{world.betas.pk}/")
    assert answer.status_code == (200 if "beta/ci" in seen else 404)


def test_without_a_token_nothing_is_said(world: KeyWorld) -> None:
    for path in (KEYS, f"{KEYS}{world.service.pk}/"):
        assert world.call("", path).status_code == 401


ACTIONS: list[Callable[[KeyWorld, str, VirtualKey], Any]] = [
    lambda world, who, key: world.call(who, f"{KEYS}{key.pk}/rotate/", {"overlap": "1h"}),
    lambda world, who, key: world.call(who, f"{KEYS}{key.pk}/disable/", {}),
    lambda world, who, key: world.call(who, f"{KEYS}{key.pk}/revoke/", {}),
    lambda world, who, key: world.patch(who, key, {"tags": {"a": "b"}}),
]


@pytest.mark.parametrize("act", ACTIONS, ids=["rotate", "disable", "revoke", "change"])
@pytest.mark.parametrize(
    ("who", "service", "personal"),
    [
        ("admin", 200, 200),
        ("auditor", 403, 403),
        ("alpha-owner", 200, 200),
        ("alpha-member", 403, 403),  # a token is no person, and owns nothing
        ("alpha-viewer", 403, 403),
        ("beta-owner", 404, 404),
        ("adam", 200, 200),
        ("mia", 403, 200),
        ("vic", 403, 403),
        ("eve", 404, 404),
    ],
)
def test_who_may_do_what_to_a_key(
    world: KeyWorld, who: str, service: int, personal: int, act: Callable[[KeyWorld, str, VirtualKey], Any]
) -> None:
    before = AuditEvent.objects.count()
    found = [act(world, who, key).status_code for key in (world.service, world.mias)]
    assert found == [service, personal]
    assert AuditEvent.objects.count() - before == found.count(200), "what is refused changes nothing"


class TestMaking:
    def new(self, world: KeyWorld, who: str, **fields: Any) -> Any:
        return world.call(who, KEYS, {"name": "new", "project": "default", **fields})

    def test_a_key_is_made_with_its_limits_and_its_secret_is_in_this_answer_only(self, world: KeyWorld) -> None:
        answer = self.new(
            world, "alpha-owner", tags={"cost_center": "4711"}, budget="12.50", budget_period="week",
            allowed_models=["claude-*"], allowed_ips=["203.0.113.0/24"], rate_limits={"requests_per_minute": 60},
        )  # fmt: skip
        assert answer.status_code == 201, answer.content
        entry = answer.json()
        assert "no-store" in answer["cache-control"]
        assert is_well_formed(entry["secret"])
        assert (entry["state"], entry["kind"], entry["last_use"], entry["old_secret"]) == (
            "usable",
            "service",
            None,
            None,
        )
        grant = load_directory().find(entry["secret"])
        assert grant is not None
        assert refusal_of(grant, now=0.0, client_ip="203.0.113.9") == ""
        key = VirtualKey.objects.get(pk=entry["id"])
        assert Budget.objects.filter(key=key, amount=Decimal("12.5"), period="week").exists()
        assert RateLimit.objects.filter(key=key, kind="requests_per_minute", amount=60).exists()
        again = world.call("alpha-owner", f"{KEYS}{key.pk}/").json()
        assert "secret" not in again
        assert entry["secret"] not in str(list(AuditEvent.objects.values()))

    @pytest.mark.parametrize(
        ("who", "fields", "status"),
        [
            ("mia", {"kind": "personal"}, 201),
            ("mia", {"kind": "service"}, 403),
            ("mia", {"kind": "personal", "owner": "adam@example.org"}, 403),
            ("vic", {"kind": "personal"}, 403),
            ("adam", {"kind": "service"}, 201),
            ("adam", {"kind": "personal", "owner": "mia@example.org"}, 201),
            ("alpha-member", {"kind": "personal"}, 403),
            ("alpha-viewer", {}, 403),
            ("auditor", {"team": "alpha"}, 403),
            ("admin", {"team": "beta"}, 201),
            ("admin", {}, 400),  # of which team?
            ("beta-owner", {"team": "alpha"}, 400),
            ("sam", {}, 400),
        ],
    )
    def test_who_may_make_which(self, world: KeyWorld, who: str, fields: dict[str, Any], status: int) -> None:
        answer = self.new(world, who, **fields)
        assert answer.status_code == status, answer.content
        assert VirtualKey.objects.filter(name="new").exists() == (status == 201)

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"name": "Not A Name"}, "name"),
            ({"name": "ci"}, "name"),
            ({"allowed_models": ["gpt-*"]}, "allowed_models"),
            ({"allowed_ips": ["nonsense"]}, "allowed_ips"),
            ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
            ({"kind": "personal"}, "owner"),
            ({"kind": "personal", "owner": "vic@example.org"}, "owner"),
            ({"kind": "personal", "owner": "eve@example.org"}, "owner"),
            ({"kind": "personal", "owner": "nobody@example.org"}, "owner"),
            ({"budget": "-1"}, "budget"),
            ({"rate_limits": {"requests": 5}}, "rate_limits"),
            ({"secret": "mine"}, "secret"),
        ],
    )
    def test_what_makes_no_sense_is_said_by_field_and_makes_nothing(
        self, world: KeyWorld, fields: dict[str, Any], named: str
    ) -> None:
        world.alpha.allowed_models = ["claude-*"]
        with changing(SYSTEM) as change:
            change.save(world.alpha)
        count = VirtualKey.objects.count()
        answer = self.new(world, "alpha-owner", **fields)
        assert (answer.status_code, list(answer.json())) == (400, [named])
        assert VirtualKey.objects.count() == count

    def test_an_owner_elsewhere_and_nobody_are_the_same_answer(self, world: KeyWorld) -> None:
        said = [
            self.new(world, "alpha-owner", kind="personal", owner=f"{name}@example.org").json()
            for name in ("eve", "nobody")
        ]
        assert said[0] == said[1]

    def test_patterns_within_the_teams_are_taken(self, world: KeyWorld) -> None:
        world.alpha.allowed_models = ["claude-*", "team-big"]
        with changing(SYSTEM) as change:
            change.save(world.alpha)
        answer = self.new(world, "alpha-owner", allowed_models=["claude-sonnet-*", "team-big", "*"])
        assert answer.status_code == 201


class TestRotating:
    def test_the_old_secret_works_for_the_overlap_and_says_whether_it_is_used(self, world: KeyWorld) -> None:
        old = world.secret.reveal()
        answer = world.call("mia", f"{KEYS}{world.mias.pk}/rotate/", {"overlap": "24h"})
        fresh = answer.json()["secret"]
        directory = load_directory()
        assert all(directory.find(secret) for secret in (old, fresh))
        entry = world.call("mia", f"{KEYS}{world.mias.pk}/").json()
        assert entry["old_secret"]["prefix"] == old[:11]
        assert entry["old_secret"]["last_use"] is None
        KeyUse.objects.create(
            key_prefix=old[:11], team="", last_at=timezone.now(), client_ip="192.0.2.7", user_agent="x"
        )
        entry = world.call("mia", f"{KEYS}{world.mias.pk}/").json()
        assert entry["old_secret"]["last_use"]["client_ip"] == "192.0.2.7"
        assert entry["last_use"]["client_ip"] == "192.0.2.7"

    def test_now_is_what_happens_without_an_overlap(self, world: KeyWorld) -> None:
        answer = world.call("mia", f"{KEYS}{world.mias.pk}/rotate/", {})
        assert answer.json()["old_secret"] is None
        assert load_directory().find(world.secret.reveal()) is None

    def test_an_old_version_is_a_conflict(self, world: KeyWorld) -> None:
        version = world.mias.version
        assert world.call("mia", f"{KEYS}{world.mias.pk}/rotate/", {"version": version}).status_code == 200
        assert world.call("mia", f"{KEYS}{world.mias.pk}/rotate/", {"version": version}).status_code == 409

    def test_a_revoked_key_gets_no_new_secret(self, world: KeyWorld) -> None:
        for _ in range(2):
            assert world.call("mia", f"{KEYS}{world.mias.pk}/revoke/", {}).status_code == 200
        assert world.call("mia", f"{KEYS}{world.mias.pk}/rotate/", {}).status_code == 400


class TestChanging:
    def test_only_what_is_named_changes(self, world: KeyWorld) -> None:
        answer = world.patch("mia", world.mias, {"name": "mia-desk", "allowed_models": ["claude-haiku-*"]})
        entry = answer.json()
        assert (entry["name"], entry["allowed_models"], entry["tags"]) == ("mia-desk", ["claude-haiku-*"], {})
        assert world.patch("mia", world.mias, {"version": 1, "name": "other"}).status_code == 409
        assert world.patch("mia", world.mias, {"kind": "service"}).status_code == 400

    def test_a_member_does_not_enable_what_an_admin_disabled(self, world: KeyWorld) -> None:
        enable = {"enabled": True}
        world.call("mia", f"{KEYS}{world.mias.pk}/disable/", {})
        assert world.call("mia", f"{KEYS}{world.mias.pk}/disable/", enable).status_code == 200
        world.call("adam", f"{KEYS}{world.mias.pk}/disable/", {})
        assert world.call("mia", f"{KEYS}{world.mias.pk}/disable/", enable).status_code == 403
        assert world.patch("mia", world.mias, {**enable, "tags": {"a": "b"}}).status_code == 403
        assert VirtualKey.objects.get(pk=world.mias.pk).tags == {}, "nothing half applied"
        assert world.call("adam", f"{KEYS}{world.mias.pk}/disable/", enable).json()["state"] == "usable"

    def test_a_key_with_a_budget_keeps_the_name_that_its_spending_is_counted_by(self, world: KeyWorld) -> None:
        answer = world.patch("adam", world.service, {"name": "other"})
        assert (answer.status_code, list(answer.json())) == (400, ["name"])

    def test_a_wider_list_that_is_there_stays_and_nothing_beyond_the_team_is_added(self, world: KeyWorld) -> None:
        world.alpha.allowed_models = ["claude-haiku-*"]
        world.mias.allowed_models = ["claude-*"]
        with changing(SYSTEM) as change:
            change.save(world.alpha)
            change.save(world.mias)
        assert world.patch("mia", world.mias, {"allowed_models": ["claude-*", "claude-haiku-5"]}).status_code == 200
        assert world.patch("mia", world.mias, {"allowed_models": ["claude-opus-*"]}).status_code == 400


class TestAtOnce:
    """What two do in one moment: neither writes over the other."""

    def test_a_rotation_on_a_row_that_was_read_before_another_is_refused(self, world: KeyWorld) -> None:
        party = Party("root", admin=True)
        read_before = VirtualKey.objects.select_related("project__team", "owner").get(pk=world.mias.pk)
        with changing(SYSTEM) as change:
            fresh = rotate(change, party, world.mias, "24h")
        with changing(SYSTEM) as change, pytest.raises(StaleVersion):
            rotate(change, party, read_before, "24h")
        assert load_directory().find(fresh.reveal())

    def test_revoking_and_disabling_keep_what_somebody_changed_a_moment_ago(self, world: KeyWorld) -> None:
        party = Party("root", admin=True)
        for action in (partial(switch, enabled=False), revoke):
            read_before = VirtualKey.objects.get(pk=world.mias.pk)
            with changing(SYSTEM) as change:
                revise(change, party, VirtualKey.objects.get(pk=world.mias.pk), {"tags": {"by": str(action)[:50]}})
            with changing(SYSTEM) as change:
                action(change, party, read_before)
            assert VirtualKey.objects.get(pk=world.mias.pk).tags == {"by": str(action)[:50]}


class TestStates:
    def listed(self, world: KeyWorld, **query: str) -> set[str]:
        answer = world.call("alpha-owner", KEYS, **query)
        assert answer.status_code == 200, answer.content
        return {key["name"] for key in answer.json()["results"]}

    def test_keys_that_nobody_uses_and_that_end_soon_are_found(self, world: KeyWorld) -> None:
        now = timezone.now()
        VirtualKey.objects.update(created_at=now - timedelta(days=60))
        for key, days in ((world.service, 31), (world.mias, 29)):
            KeyUse.objects.create(key_prefix=key.prefix, team="", last_at=now - timedelta(days=days))
        with changing(SYSTEM) as change:
            ends = {"soon": now + timedelta(days=13), "later": now + timedelta(days=15)}
            for name, end in ends.items():
                services.create_key(change, world.service.project, name, expires_at=end)
        assert self.listed(world, state="unused") == {"ci"}
        assert self.listed(world, state="expiring") == {"soon"}
        assert self.listed(world, state="usable") == {"ci", "mia-laptop", "soon", "later"}
        VirtualKey.objects.filter(name="later").update(created_at=now - timedelta(days=2))
        assert self.listed(world, state="unused") == {"ci", "later"}, "never used, and not new any more"

    def test_disabled_expired_and_revoked_are_told_apart(self, world: KeyWorld) -> None:
        now = timezone.now()
        VirtualKey.objects.filter(pk=world.service.pk).update(expires_at=now - timedelta(seconds=1), enabled=False)
        VirtualKey.objects.filter(pk=world.mias.pk).update(enabled=False)
        assert self.listed(world, state="expired") == {"ci"}
        assert self.listed(world, state="disabled") == {"mia-laptop"}
        VirtualKey.objects.update(revoked_at=now)
        assert self.listed(world, state="revoked") == {"ci", "mia-laptop"}
        assert self.listed(world, owner="mia@example.org", kind="personal", project="default") == {"mia-laptop"}

    @pytest.mark.parametrize("word", ["team", "project", "owner"])
    def test_what_else_stops_a_key_is_said(self, world: KeyWorld, word: str) -> None:
        row: Any = {"team": world.alpha, "project": world.mias.project, "owner": world.people["mia"]}[word]
        setattr(row, "is_active" if word == "owner" else "enabled", False)
        row.save()
        entry = world.call("admin", f"{KEYS}{world.mias.pk}/").json()
        assert (entry["state"], entry["blocked_by"]) == ("usable", word)

    def test_a_filter_that_is_not_there_is_refused(self, world: KeyWorld) -> None:
        assert world.call("alpha-owner", KEYS, status="usable").status_code == 400

    def test_another_teams_use_of_an_imported_prefix_is_not_told(self, world: KeyWorld) -> None:
        with changing(SYSTEM) as change:
            services.create_key(change, world.service.project, "imported", secret="imported-key-of-alpha")
        KeyUse.objects.create(key_prefix="imported", team="beta", last_at=timezone.now(), client_ip="192.0.2.1")
        (entry,) = world.call("alpha-owner", KEYS, name="imported").json()["results"]
        assert entry["last_use"] is None


def test_a_list_of_many_keys_costs_few_queries(world: KeyWorld, django_assert_max_num_queries: Any) -> None:
    with changing(SYSTEM) as change:
        for number in range(30):
            services.create_key(change, world.service.project, f"key-{number}")
    with django_assert_max_num_queries(8):
        assert world.call("alpha-owner", KEYS).json()["count"] == 32
