"""Every address of the REST API, for everybody, by every method, and with what nobody expects.

A new address has to state here who may read it and who may write, and give a body that is taken. What an address answers has
tests of its own; here it is only asked who gets to it, and that what is refused changes nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from pytest_django.plugin import DjangoDbBlocker

from accounting.access.roles import ROLES
from tests.pages.api_addresses import BODIES, JSON, METHODS, OFFERED, PATTERNS, TOMORROW, address_of, ask, body_of
from tests.pages.conftest import signed_in
from tests.pages.everybody import Everything, kept_for_a_module, state, taken_back

pytestmark = pytest.mark.django_db

# Callers: people who are signed in as "person owner", tokens as "token owner"; "nobody" is a person who belongs to no team.
ROLES_ABOVE = ("administrator", "auditor")
PEOPLE = tuple(f"person {name}" for name in (*ROLES_ABOVE, *ROLES, "nobody", "owner elsewhere"))
TOKENS = tuple(f"token {name}" for name in (*ROLES_ABOVE, *ROLES, "owner elsewhere"))
STRANGERS = frozenset({"person nobody", "person owner elsewhere", "token owner elsewhere"})
FEW = ("person administrator", "person nobody", "token owner", "token owner elsewhere")  # where all are treated alike
KNOWN = frozenset((*PEOPLE, *TOKENS))
RECORDS = frozenset(("person administrator", *TOKENS))
INSIDE = KNOWN - STRANGERS
SEE_ALL = frozenset({"person administrator", "token administrator", "token auditor"})
ADMINS = frozenset(f"{kind} {name}" for kind in ("person", "token") for name in ("administrator", "owner", "admin"))
ASK = ADMINS | {"person member", "token member"}

# Who may read what. Of lists everybody sees their own part; the three that hold nothing of a team are in OPEN.
OPEN = frozenset({"prices", "schema", "docs"})
READERS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(OPEN, KNOWN),
    **dict.fromkeys(("records", "sessions", "usage", "focus", "latency", "outcomes", "ledger"), RECORDS),
    **dict.fromkeys(("record", "session"), RECORDS - STRANGERS),
    **dict.fromkeys(
        (
            "budgets", "rate_limits", "budget_requests", "members", "invitations", "projects", "audit_events", "keys",
            "alert_rules", "alert_destinations", "alert_deliveries",
        ),
        KNOWN,
    ),
    **dict.fromkeys(
        ("budget", "rate_limit", "member", "project", "key", "alert_rule", "alert_destination"), INSIDE
    ),
    "targets": SEE_ALL,
}  # fmt: skip
# Who may write what. Everybody else is refused, and nothing is changed.
WRITERS: Mapping[tuple[str, str], frozenset[str]] = {
    **{
        (name, method): ADMINS
        for name, methods in {
            "alert_destinations": "POST", "alert_destination": "PATCH DELETE", "alert_destination_rotation": "POST",
            "alert_destination_test": "POST", "alert_rules": "POST", "alert_rule": "PATCH DELETE", "budgets": "POST",
            "budget": "PATCH DELETE", "rate_limits": "POST", "rate_limit": "PATCH DELETE", "invitations": "POST",
            "invitation_withdrawal": "POST", "keys": "POST", "key": "PATCH", "key_rotation": "POST",
            "key_revocation": "POST", "key_switch": "POST", "member": "PATCH DELETE", "projects": "POST",
            "project": "PATCH", "budget_request_decision": "POST",
        }.items()
        for method in methods.split()
    },
    ("budget_requests", "POST"): ASK,
    ("budget_request_withdrawal", "POST"): frozenset({"person member"}),  # whoever asked
    ("member_hand_over", "POST"): frozenset({"person owner"}),
    ("explain", "POST"): RECORDS - STRANGERS,
}  # fmt: skip
# Where the body names the team or the row: of one that is not theirs, strangers are told that there is none, with 400.
NAMED_IN_BODY = frozenset(
    {
        "alert_destinations",
        "alert_rules",
        "budgets",
        "rate_limits",
        "invitations",
        "keys",
        "projects",
        "budget_requests",
    }
)


@pytest.fixture(scope="module")
def everything(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Everything]:
    with kept_for_a_module(django_db_blocker) as made:
        yield made


@pytest.fixture(scope="module")
def callers(everything: Everything) -> dict[str, Client]:
    people = {f"person {name}": signed_in(user) for name, user in everything.people.items()}
    tokens = {
        f"token {name}": Client(headers={"authorization": f"Bearer {secret}"})
        for name, secret in everything.tokens.items()
    }
    found = {
        **people,
        **tokens,
        "no token": Client(),
        "a wrong token": Client(headers={"authorization": "Bearer gwt_x"}),
    }
    for client in found.values():
        client.raise_request_exception = False
    return found


def _text(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else bytes(answer.content)


def test_every_address_states_who_reads_and_who_writes() -> None:
    assert len(PATTERNS) > 35
    assert {name for name, offered in OFFERED.items() if "GET" in offered} == set(READERS)
    writing = {(name, method) for name, offered in OFFERED.items() for method in offered - {"GET", "HEAD", "OPTIONS"}}
    assert writing == set(WRITERS)


def test_bodies_have_every_field_that_the_description_has() -> None:
    description = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    schemas = description["components"]["schemas"]
    by_path = {path.replace("<int:pk>", "{id}"): name for name, (path, _) in PATTERNS.items()}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get(JSON)
            fields = schemas[content["schema"]["$ref"].rpartition("/")[2]]["properties"] if content else {}
            written = {field for field, about in fields.items() if not about.get("readOnly")}
            if method != "get":
                assert written == set(BODIES.get((by_path[path], method.upper()), {})), (method, path)


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_who_gets_there(name: str, everything: Everything, callers: Mapping[str, Client]) -> None:
    address, offered, wrong = address_of(name, everything), OFFERED[name], []
    before = state()
    for method in METHODS:
        for who in ("no token", "a wrong token"):
            status = ask(callers[who], method, address).status_code
            assert status == (302 if name == "docs" and who == "no token" else 401), (method, who)
        if method in offered and method not in ("HEAD", "OPTIONS", "GET"):
            continue
        for who in FEW if name == "schema" or method != "GET" else sorted(KNOWN):
            answer = ask(callers[who], method, address)
            if answer.status_code not in _expected(name, method, who):
                wrong.append((method, who, answer.status_code))
            if who in STRANGERS and name not in OPEN and b"platform" in _text(answer):
                wrong.append((method, who, "sees something"))
    assert wrong == []
    assert state() == before


def _expected(name: str, method: str, who: str) -> tuple[int, ...]:
    """What somebody may be told who reads, or asks for what is not there."""
    readers = READERS.get(name, KNOWN)
    refused = (404,) if "<" in PATTERNS[name][0] and (who in RECORDS or name not in ("record", "session")) else (403,)
    if method in ("GET", "HEAD") and "GET" in OFFERED[name]:
        return (200,) if who in readers else refused
    if method == "OPTIONS":
        return (200, 403)
    return (405,) if who in readers and name != "explain" else (403, 405)


@pytest.mark.parametrize(("name", "method"), sorted(WRITERS))
def test_who_writes(name: str, method: str, everything: Everything, callers: Mapping[str, Client]) -> None:
    """With a body that is taken: of those who may, and of nobody else."""
    address, body = address_of(name, everything), body_of(name, method, everything)
    wrong: list[Any] = []
    before = state()
    for who in sorted(KNOWN - WRITERS[name, method]):
        status = ask(callers[who], method, address, body).status_code
        allowed = {403, 404} if who not in STRANGERS else {403 if name == "explain" else 404}
        if who in STRANGERS and name in NAMED_IN_BODY:
            allowed = {400}
        if name == "explain" and who == "token owner elsewhere":
            allowed = {404}
        if status not in allowed:
            wrong.append((who, status))
    assert wrong == []
    assert state() == before, "somebody was refused, and something was changed"
    for who in sorted(WRITERS[name, method]):
        with taken_back():
            answer = ask(callers[who], method, address, body)
        if not 200 <= answer.status_code < 300:
            wrong.append((who, answer.status_code, answer.content[:200]))
    assert wrong == []


def test_a_session_writes_only_with_the_token_of_its_page(everything: Everything) -> None:
    """What another site makes a browser send is refused."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(everything.people["administrator"])
    before = state()
    for name, method in WRITERS:
        answer = ask(browser, method, address_of(name, everything), body_of(name, method, everything))
        assert answer.status_code == 403, (name, method)
    assert state() == before


def test_what_is_given_of_another_team_is_refused(everything: Everything, callers: Mapping[str, Client]) -> None:
    """An admin of another team names rows of this one, each in place of their own."""
    rows, wrong = everything.rows, []
    given: list[tuple[str, dict[str, Any]]] = [
        ("budgets", {"scope": {"type": "project", "id": rows["project"]}, "period": "day", "amount": "1"}),
        ("budgets", {"scope": {"type": "key", "id": rows["key"]}, "period": "day", "amount": "1"}),
        ("budgets", {"scope": {"type": "team", "id": everything.world.team.pk}, "period": "day", "amount": "1"}),
        ("budgets", {"scope": {"type": "user", "id": everything.people["owner"].pk}, "period": "day", "amount": "1"}),
        ("budgets", {"scope": {"type": "organization"}, "period": "day", "amount": "1"}),
        (
            "rate_limits",
            {"scope": {"type": "project", "id": rows["project"]}, "kind": "concurrent_streams", "amount": 1},
        ),
        ("budget_requests", {"budget": rows["budget"], "amount": "1", "until": TOMORROW, "reason": "x"}),
        ("keys", {"project": "default", "team": "platform", "name": "x"}),
        ("keys", {"project": "default", "name": "x"}),
        ("keys", {"project": "theirs", "name": "x", "kind": "personal", "owner": "member@example.org"}),
        ("projects", {"team": "platform", "name": "x"}),
        ("invitations", {"team": "platform", "role": "viewer"}),
        ("alert_rules", {"team": "platform", "name": "x", "kind": "budget_used_up"}),
        ("alert_rules", {"team": None, "name": "x", "kind": "budget_used_up"}),
        ("alert_rules", {"name": "x", "kind": "budget_used_up", "destinations": [rows["alert_destination"]]}),
        ("alert_destinations", {"team": None, "name": "x", "kind": "mail", "addresses": ["a@example.org"]}),
    ]
    before = state()
    for who in ("person owner elsewhere", "token owner elsewhere"):
        for name, body in given:
            status = ask(callers[who], "POST", address_of(name, everything), body).status_code
            if status not in (400, 403, 404):
                wrong.append((who, name, body, status))
    assert wrong == []
    assert state() == before
