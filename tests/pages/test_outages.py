"""While the database is away, pages and the REST API say so, with one line in the log for each request."""

import sqlite3
from typing import Any, NoReturn, cast

import psycopg
import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from psycopg.errors import AdminShutdown, QueryCanceled

from gateway_project.outages import database_away
from gateway_project.pages import django_pages
from tests.pages.conftest import World, signed_in

API = (
    "requests/",
    "requests/req_1/",
    "sessions/",
    "usage/",
    "usage/focus/",
    "ledger/",
    "keys/",
    "budgets/",
    "members/",
)
PAGES = ("/teams/platform/", "/teams/platform/keys/", "/admin/", "/admin/routing/route/", "/usage/", "/profile/")


def raised(error: Exception, cause: BaseException | None = None) -> Exception:
    error.__cause__ = cause
    return error


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode = code
    return error


@pytest.fixture
def away() -> Any:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise OperationalError("connection refused\nIs the server running?") from psycopg.OperationalError()

    return connection.execute_wrapper(refuse)


@pytest.fixture
def clients(world: World) -> list[Client]:
    found = [signed_in(world.admin), Client(headers={"authorization": f"Bearer {world.token_secret.reveal()}"})]
    for client in found:
        client.raise_request_exception = False
    return found


def test_the_api_answers_503_in_its_own_shape(
    clients: list[Client], away: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with away:
        for client in clients:
            for path in API:
                caplog.clear()
                answer = client.get(f"/api/v1/{path}")
                assert answer.status_code == 503, path
                assert answer.json() == {"detail": "The database is away at the moment; try again."}
                assert answer.headers["retry-after"] == "5"
                assert answer.headers["cache-control"] == "no-store"
                assert [each.levelname for each in caplog.records] == ["ERROR"], path
                assert "Traceback" not in caplog.text
                assert "connection refused" in caplog.text
    assert clients[1].get("/api/v1/requests/").status_code == 200


def test_pages_answer_503(clients: list[Client], away: Any, caplog: pytest.LogCaptureFixture) -> None:
    with away:
        for path in PAGES:
            answer = clients[0].get(path)
            assert answer.status_code == 503, path
            assert answer.headers["retry-after"] == "5"
            assert b"trying again may help" in answer.content
    assert "Traceback" not in caplog.text
    assert len(caplog.records) == len(PAGES)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (InterfaceError("connection is closed"), True),
        (raised(OperationalError(), psycopg.OperationalError("connection refused")), True),
        (raised(OperationalError(), AdminShutdown()), True),
        (raised(OperationalError(), QueryCanceled()), False),
        (raised(OperationalError(), sqlite_error(sqlite3.SQLITE_BUSY)), True),
        (raised(OperationalError(), sqlite_error(sqlite3.SQLITE_BUSY | 2 << 8)), True),
        (raised(OperationalError(), sqlite_error(sqlite3.SQLITE_ERROR)), False),
        (ValueError(), False),
        (None, False),
    ],
)
def test_an_outage_is_told_from_a_mistake(error: Exception | None, away: bool) -> None:
    assert database_away(error) is away


@pytest.mark.parametrize("charset", [b"hex", b'"rot13"', b"utf-16", b"idna"])
async def test_pages_are_utf_8_whatever_the_header_says(charset: bytes) -> None:
    scope = {
        "type": "http", "method": "GET", "path": "/nowhere/", "query_string": b"q=%C3%A9", "scheme": "http",
        "headers": [(b"host", b"localhost"), (b"content-type", b"text/plain; charset=" + charset)],
    }  # fmt: skip
    page: Any = cast(Any, ApplicationCommunicator)(django_pages(), scope)
    await page.send_input({"type": "http.request", "body": b""})
    assert (await page.receive_output())["status"] == 404
    await page.receive_output()
