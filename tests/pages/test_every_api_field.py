"""Every field of the REST API with what nobody expects in it: never a failure of the server, and what is refused writes
nothing. In PostgreSQL where it is reachable, which takes less than SQLite."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from pytest_django.plugin import DjangoDbBlocker

from tests.accounting.conftest import new_postgres, own_database
from tests.pages.api_addresses import BODIES, address_of, ask, body_of
from tests.pages.everybody import Everything, kept_for_a_module, state

pytestmark = pytest.mark.django_db
HOSTILE: tuple[Any, ...] = (
    None, True, [], {}, "", "\x00", "\ud800", "x" * 10_000, -1, 10**30, 1e308, "NaN", "-1", "9" * 40, {"a": {"b": [1]}},
    ["x", 1, None], ["\x00"], {"\x00": "x"}, {"a": "\x00"}, "9999-12-31T23:59:59Z", "\u202e\U0001f600",
)  # fmt: skip


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Everything]:
    folder = tmp_path_factory.mktemp("fields")
    with ExitStack() as stack:
        try:
            url = stack.enter_context(new_postgres(folder, django_db_blocker))
        except pytest.skip.Exception:
            pass
        else:
            stack.enter_context(own_database(url, folder, django_db_blocker))
        yield stack.enter_context(kept_for_a_module(django_db_blocker))


@pytest.fixture(scope="module")
def administrator(everything: Everything) -> Client:
    client = Client(headers={"authorization": f"Bearer {everything.tokens['administrator']}"})
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize(("name", "method"), sorted(BODIES))
def test_what_nobody_expects(name: str, method: str, everything: Everything, administrator: Client) -> None:
    """Each field with each value that it is not made for, and bodies that are no objects: never a failure, and what is refused
    writes nothing, not even half."""
    address, body = address_of(name, everything), body_of(name, method, everything)
    wrong = []
    before = state()
    bodies: list[Any] = [None, [], "x", 7, [body], {**body, "\x00": 1}, {**body, "no_such": 1}]
    for field, value in list(body.items()):
        if name == "explain" and field != "request":
            body.pop("request", None)  # with the id of a stored request the rest is not looked at
        bodies += [
            {**body, field: hostile} for hostile in HOSTILE if type(hostile) is not type(value) or hostile != value
        ]
        if isinstance(value, dict) and name != "explain":
            bodies += [{**body, field: {**value, inner: hostile}} for inner in value for hostile in HOSTILE]
    for each in bodies:
        mark = transaction.savepoint()
        answer = ask(administrator, method, address, each)
        (transaction.savepoint_rollback if answer.status_code < 400 else transaction.savepoint_commit)(mark)
        if answer.status_code >= 500:
            wrong.append((answer.status_code, json.dumps(each)[:300]))
    assert wrong == []
    assert state() == before, "something was refused, and something was written"
