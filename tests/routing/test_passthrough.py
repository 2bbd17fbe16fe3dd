"""Whose batches and files are, where they go, and what is remembered of them: without a server."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from accounting.access.grant import Grant
from gateway_project.crypto import Secret
from routing.conditions import compiled
from routing.lifecycle import Deprecation
from routing.proxy.errors import GatewayError
from routing.proxy.passthrough import owners as owners_module
from routing.proxy.passthrough import store
from routing.proxy.passthrough.choice import files_provider, plan_batch
from routing.proxy.passthrough.owners import Owned, Owners
from routing.proxy.passthrough.store import Claim
from routing.snapshot import AliasConf, Snapshot
from routing.targets import CredentialConf, ProviderConf, RouteConf, TargetConf

NOW = 1_800_000_000.0
CREATED = datetime(2026, 11, 1, tzinfo=UTC)


def provider(number: int, name: str, format_: str = "anthropic") -> ProviderConf:
    return ProviderConf(number, name, format_, "https://x", CredentialConf("api_key", {"api_key": Secret("x")}))


OLD, NEW, CLOUD = provider(1, "z-old"), provider(2, "a-new"), provider(3, "cloud", "bedrock")


def alias(name: str, *targets: TargetConf) -> AliasConf:
    return AliasConf(name, RouteConf(name, targets=targets), "", CREATED)


def snapshot(*aliases: AliasConf) -> Snapshot:
    return Snapshot(1, {}, {each.name: each for each in aliases})


EVERYTHING = snapshot(
    alias("new", TargetConf(CLOUD, "c"), TargetConf(NEW, "n", 1), TargetConf(OLD, "o", 2)),
    alias("old", TargetConf(OLD, "o2")),
    alias("idle", TargetConf(OLD, "o", weight=0)),
    alias("cloud", TargetConf(CLOUD, "c")),
)


def grant(*models: str) -> Grant:
    return Grant(1, "k", "gw_k", "service", "alpha", "one", allowed_models=(models,) if models else ())


def body(*models: str) -> bytes:
    return b'{"requests":[%b]}' % b",".join(b'{"params":{"model":"%b"}}' % model.encode() for model in models)


def test_a_batch_goes_to_the_first_anthropic_target_of_its_first_model() -> None:
    plan = plan_batch(body("new", "new"), EVERYTHING, grant(), NOW)
    assert (plan.target.provider, plan.alias, plan.route) == (NEW, "new", "new")
    assert plan.body == body("n", "n")
    assert plan.aliases == {"n": "new"}


def test_a_later_model_may_be_served_there_by_a_later_target() -> None:
    plan = plan_batch(body("old", "new"), EVERYTHING, grant(), NOW)
    assert plan.target.provider is OLD
    assert plan.body == body("o2", "o")


@pytest.mark.parametrize("name", ["cloud", "idle"])
def test_a_model_without_a_provider_for_batches_is_refused(name: str) -> None:
    with pytest.raises(GatewayError, match=r"requests\.1\.params\.model") as caught:
        plan_batch(body("old", name), EVERYTHING, grant(), NOW)
    assert caught.value.status == 400


def test_conditions_and_the_end_of_names_hold_for_batches_too() -> None:
    away = compiled([{"when": {"team": "alpha", "stream": False}, "route": "old"}])
    unknown = compiled([{"when": {"prompt_tokens_below": 10**9}, "route": "old"}])
    routes = {
        "old": RouteConf("old", targets=(TargetConf(OLD, "o"),)),
        "new": RouteConf("new", targets=(TargetConf(NEW, "n"),), conditions=away),
        "sized": RouteConf("sized", targets=(TargetConf(NEW, "s"),), conditions=unknown),
    }
    names = {name: AliasConf(name, conf, "", CREATED) for name, conf in routes.items()}
    gone = AliasConf("gone", routes["sized"], "", CREATED, Deprecation(0, 1, "old", then="refuse"))
    moved = AliasConf("moved", routes["sized"], "", CREATED, Deprecation(0, 1, "old"))
    picture = Snapshot(1, {}, {**names, "gone": gone, "moved": moved}, routes=routes)
    assert plan_batch(body("new"), picture, grant(), NOW).target.provider is OLD
    assert plan_batch(body("sized"), picture, grant(), NOW).target.provider is NEW
    assert files_provider(Snapshot(1, {}, {"new": names["new"]}, routes=routes), grant()) is OLD
    plan = plan_batch(body("moved", "old"), picture, grant(), NOW)
    assert (plan.target.provider, plan.route, plan.alias) == (OLD, "old", "moved")
    assert dict(plan.notices)[b"x-gateway-successor"] == b"old"
    with pytest.raises(
        GatewayError, match=r"requests\.1\.params\.model: gone was retired .* Use old instead"
    ) as caught:
        plan_batch(body("old", "gone"), picture, grant(), NOW)
    assert caught.value.status == 404


def test_files_go_to_the_oldest_provider_of_the_callers_names() -> None:
    assert files_provider(EVERYTHING, grant()) is OLD
    assert files_provider(EVERYTHING, grant("new")) is NEW
    with pytest.raises(GatewayError) as caught:
        files_provider(EVERYTHING, grant("cloud", "idle"))
    assert caught.value.status == 501


def owned(row: int, team: str = "alpha", kind: str = "file") -> Owned:
    return Owned(row, kind, f"id-{row}", "p", team, "one", "k", "gw_k")


def test_pages_go_both_ways_and_show_one_team() -> None:
    owners = Owners()
    owners.put([owned(2), owned(1), owned(3, "beta"), owned(4), owned(5, kind="batch"), owned(6)])

    def ids(**query: object) -> tuple[list[str], bool]:
        page = owners.page("file", "alpha", **{"limit": 2, **query})  # type: ignore[arg-type]
        return [thing.id for thing in page.things], page.more

    assert ids() == (["id-6", "id-4"], True)
    assert ids(after="id-4") == (["id-2", "id-1"], False)
    assert ids(before="id-1") == (["id-4", "id-2"], True)
    assert ids(before="id-4") == (["id-6"], False)
    # Another team's id is no place in this list.
    assert ids(after="id-3") == ids(before="id-3") == ([], False)


def test_memory_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners_module, "MOST", 3)
    owners = Owners()
    owners.put([owned(number) for number in range(1, 6)])
    assert (len(owners), owners.complete) == (3, False)
    assert owners.find("file", "id-2") is None
    assert owners.find("file", "id-5") is not None


def test_what_a_process_knows_is_not_undone_by_an_older_row() -> None:
    owners = Owners()
    known = Owned(1, "batch", "b", "p", "alpha", "one", "k", "gw_k", ended=True, priced=True)
    owners.put([known])
    owners.put([Owned(1, "batch", "b", "p", "alpha", "one", "k", "gw_k", ended=True)])
    assert owners.find("batch", "b") == known
    assert owners.unpriced() == []


CLAIM = Claim("batch", "p", "alpha", "one", "k", "gw_k", "ada@example.org", {"m": "alias"})


@pytest.mark.django_db(transaction=True)
def test_rows_are_read_as_they_change() -> None:
    owners = Owners()
    row = store.begin(CLAIM)
    store.refresh(owners)
    assert len(owners) == 0
    store.name(row, "b-1")
    store.refresh(owners)
    expected = Owned(row, "batch", "b-1", "p", "alpha", "one", "k", "gw_k", "ada@example.org", {"m": "alias"})
    assert owners.find("batch", "b-1") == expected == store.find("batch", "b-1")
    store.end(row)
    store.refresh(owners)
    assert [thing.id for thing in owners.unpriced()] == ["b-1"]
    assert store.is_priced(row) is False
    assert [store.price(row), store.price(row), store.is_priced(row)] == [True, False, True]
    store.refresh(owners)
    assert owners.unpriced() == []
    store.delete(row)
    store.end(row)  # too late
    store.refresh(owners)
    assert len(owners) == 0
    assert store.find("batch", "b-1") is None
    later = Owners()
    store.refresh(later)
    assert (len(later), later.revision) == (0, owners.revision)


@pytest.mark.django_db(transaction=True)
def test_a_refused_claim_leaves_nothing() -> None:
    row = store.begin(CLAIM)
    store.forget(row)
    named = store.begin(CLAIM)
    store.name(named, "b-2")
    store.forget(named)  # a row with an id is somebody's
    assert store.find("batch", "b-2") is not None
    owners = Owners()
    store.refresh(owners)
    assert len(owners) == 1


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"source":{"type":"file","file_id":"file_theirs1"}}', "file_theirs1"),
        (b'{"a":"file_ours01","b":"file_theirs1"}', "file_theirs1"),
        (b'{"file_id":"f\\u0069le_their\\u00731"}', "file_theirs1"),
        (b'{"file_id":"file_ours01"}', ""),
        (b'{"file_id":"file_unknown1"}', ""),
        (b'{"text":"batch_theirs1"}', ""),
    ],
)
def test_another_teams_file_in_a_body_is_found(body: bytes, found: str) -> None:
    owners = Owners()
    owners.put([replace(owned(1), id="file_ours01"), replace(owned(2, "beta"), id="file_theirs1")])
    owners.put([replace(owned(3, "beta", kind="batch"), id="batch_theirs1")])
    assert owners.foreign_file(body, "alpha") == found
