"""Live pages: a websocket tells them of new requests, and nobody else; both servers serve it."""

import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from accounting.dashboard.readers import MOST_OF_A_PERSON
from tests.fake_provider import FakeProvider, Gate, stream
from tests.gateway.bodies import BLOCK, END, START, STOP, STOP_BLOCK, ask, delta
from tests.gateway.conftest import OwnGateway
from tests.harness import KEYS, Gateway, Template, send, wait_until
from tests.harness.databases import postgres_database

SERVERS = ["serve", "runserver"]
SIGN_IN = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from gateway_project.sessions import SessionStore
from accounting.models import User
user, _ = User.objects.get_or_create(email="{email}")
session = SessionStore()
session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session.create()
print(session.session_key)
"""


def signed_in(gateway: Gateway, email: str = "ada@example.org") -> str:
    """The id of a session of this person."""
    return gateway.manage("shell", "--no-imports", "--command", SIGN_IN.format(email=email)).strip()


def watch(
    gateway: Gateway, session: str = "", team: str = "alpha", origin: str = "", port: int = 0
) -> ClientConnection:
    headers = [("Cookie", f"sessionid={session}")] if session else []
    own = f"127.0.0.1:{port or gateway.port}"
    page = Origin(origin or f"http://{own}")
    return connect(f"ws://{own}/ws/teams/{team}/", origin=page, additional_headers=headers)


def said(page: ClientConnection, timeout: float = 8) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.recv(timeout))
    return found


def closed_with(page: ClientConnection, timeout: float = 12) -> int:
    """The code that the server closes the socket with, whatever it says before."""
    for _ in range(100):
        try:
            page.recv(timeout)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else 0
    raise AssertionError("the socket stays open")


@pytest.fixture(params=SERVERS)
def running(request: pytest.FixtureRequest, own_gateway: OwnGateway) -> Iterator[tuple[Gateway, FakeProvider]]:
    with own_gateway(server=request.param) as found:
        yield found


def test_a_page_is_told_of_its_teams_requests_and_of_no_others(running: tuple[Gateway, FakeProvider]) -> None:
    gateway, _ = running
    session = signed_in(gateway)
    with watch(gateway, session) as page:
        assert gateway.post(ask(), key=KEYS["beta"]).status == 200
        for _ in range(3):
            assert gateway.post(ask()).status == 200
        counted, newest = 0, 0
        while counted < 3:
            message = said(page)
            assert set(message) == {"type", "count", "newest"}
            assert message["type"] == "requests"
            assert message["newest"] > newest
            counted, newest = counted + message["count"], message["newest"]
        assert counted == 3
        with pytest.raises(TimeoutError):
            page.recv(4)  # each is told once


def test_strangers_are_closed_without_a_reason(running: tuple[Gateway, FakeProvider]) -> None:
    gateway, _ = running
    member, stranger = signed_in(gateway), signed_in(gateway, "sam@example.org")
    for session, team in (
        (stranger, "alpha"),
        (member, "beta"),
        (member, "nowhere"),
        ("", "alpha"),
        ("wrong", "alpha"),
    ):
        with watch(gateway, session, team) as page:
            assert closed_with(page) == 4404


def test_other_sites_and_other_addresses_get_no_socket(running: tuple[Gateway, FakeProvider]) -> None:
    gateway, _ = running
    session = signed_in(gateway)
    with pytest.raises(InvalidStatus) as caught:
        watch(gateway, session, origin="https://elsewhere.example.com")
    assert caught.value.response.status_code == 403
    with pytest.raises(InvalidStatus) as caught:
        connect(f"ws://127.0.0.1:{gateway.port}/v1/messages")
    assert caught.value.response.status_code == 403


ENDINGS: dict[str, str] = {
    "removed": "from accounting.models import Membership; Membership.objects.all().delete()",
    "signed out": "from django.contrib.sessions.models import Session; Session.objects.all().delete()",
    "password changed": (
        "from accounting.models import User; u = User.objects.get(email='ada@example.org'); "
        "u.set_password('another password 7'); u.save()"
    ),
    "deactivated": "from accounting.models import User; User.objects.update(is_active=False)",
    "team disabled": "from accounting.models import Team; Team.objects.update(enabled=False)",
}


def test_whoever_may_no_more_is_cut_off_within_seconds(own_gateway: OwnGateway) -> None:
    undo = (
        "from accounting.models import *; User.objects.update(is_active=True); Team.objects.update(enabled=True); "
        "Membership.objects.get_or_create(team=Team.objects.get(name='alpha'), "
        "user=User.objects.get(email='ada@example.org'), defaults={'role': 'member'})"
    )
    with own_gateway() as (gateway, _):
        for ending in ENDINGS.values():
            with watch(gateway, signed_in(gateway)) as page:
                gateway.post(ask())
                gateway.manage("shell", "--no-imports", "--command", ending)
                assert closed_with(page) == 4404, ending
            gateway.manage("shell", "--no-imports", "--command", undo)


def test_a_person_has_a_bounded_number_of_sockets(running: tuple[Gateway, FakeProvider]) -> None:
    gateway, _ = running
    session = signed_in(gateway)
    with ExitStack() as stack:
        pages = [stack.enter_context(watch(gateway, session)) for _ in range(MOST_OF_A_PERSON)]
        with watch(gateway, session) as one_more:
            assert closed_with(one_more) == 4429
        pages[0].close()
        with watch(gateway, session) as again:
            gateway.post(ask())
            assert said(again)["count"] == 1


def test_sockets_count_as_connections_and_are_refused_beyond_the_limit(own_gateway: OwnGateway) -> None:
    with own_gateway(environment={"GATEWAY_MAX_CONNECTIONS": "3"}) as (gateway, _):
        session = signed_in(gateway)
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(watch(gateway, session))
            with pytest.raises(InvalidStatus) as caught:
                watch(gateway, session)
            assert caught.value.response.status_code == 503
            assert gateway.post(ask()).status == 503
        wait_until(lambda: gateway.post(ask()).status == 200, what="a place")


@pytest.mark.parametrize("server", SERVERS)
def test_open_pages_do_not_hold_up_the_end(own_gateway: OwnGateway, server: str) -> None:
    with own_gateway(server=server) as (gateway, _):
        session = signed_in(gateway)
        with watch(gateway, session) as page, watch(gateway, session):
            began = time.monotonic()
            gateway.terminate()
            assert gateway.wait(10) in (0, -15)
            assert time.monotonic() - began < 4
            with pytest.raises(ConnectionClosed):
                page.recv(2)


def test_a_socket_lives_through_the_draining_of_a_stream(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, provider):
        session, gate = signed_in(gateway), Gate()
        provider.script(stream(START, BLOCK, delta("one"), gate, delta("two"), STOP_BLOCK, END, STOP))
        with watch(gateway, session) as page, gateway.client() as client:
            send(client, ask(stream=True))
            client.head()
            client.until(delta("one"))
            gateway.terminate()
            gate.open()
            assert client.rest().endswith(STOP)
            assert closed_with(page) == 1012
        assert gateway.wait(10) == 0


def test_what_a_page_sends_is_bounded(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, _), watch(gateway, signed_in(gateway)) as page:
        page.send("x" * 100)  # not heard
        page.send("x" * 100_000)
        assert closed_with(page) == 1009


def test_a_half_open_handshake_is_ended_by_the_heads_timer(own_gateway: OwnGateway) -> None:
    with (
        own_gateway(environment={"GATEWAY_HEAD_SECONDS": "1"}) as (gateway, _),
        socket.create_connection(("127.0.0.1", gateway.port), 5) as raw,
    ):
        raw.sendall(b"GET /ws/teams/alpha/ HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 408")


def test_without_the_database_pages_get_no_socket_and_open_ones_live_on(
    own_gateway: OwnGateway,
) -> None:
    """The harness fails a server that writes a traceback."""
    with own_gateway() as (gateway, _):
        session, table = signed_in(gateway), "ALTER TABLE {} RENAME TO {}"
        with watch(gateway, session) as page, closing(sqlite3.connect(gateway.data / "gateway.sqlite3")) as database:
            for name in ("django_session", "accounting_requestrecord"):
                database.execute(table.format(name, f"away_{name}"))
            with pytest.raises(InvalidStatus) as caught:
                watch(gateway, session)
            assert caught.value.response.status_code == 403
            wait_until(lambda: "live pages cannot read the database" in gateway.errors.read_text(), what="a warning")
            for name in ("django_session", "accounting_requestrecord"):
                database.execute(table.format(f"away_{name}", name))
            assert gateway.post(ask()).status == 200
            assert said(page)["count"] == 1


def test_several_processes_tell_of_each_others_requests(
    own_gateway: OwnGateway, template: Template, tmp_path: Path
) -> None:
    """Nothing is shared but the database."""
    with postgres_database() as url, own_gateway(environment={"DATABASE_URL": url}) as (one, _):
        other = Gateway(template, tmp_path / "other", one.config, environment={"DATABASE_URL": url}, beside=one)
        with other, watch(other, signed_in(one)) as page:
            assert one.post(ask()).status == 200
            assert said(page)["count"] == 1
