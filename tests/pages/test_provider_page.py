"""The provider's form: secrets go in and never come out; the test of the connection tells what the upstream said."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounting.models import AuditEvent
from routing.models import Credential, Provider
from routing.proxy.credentials import CredentialStatus
from routing.proxy.probe import probe
from routing.refreshes import store_refreshes
from tests.pages.conftest import PROVIDER_SECRET, World
from tests.pages.page_form import fields_of


def page(world: World) -> str:
    return reverse("admin:routing_provider_change", args=[world.provider.pk])


def opened(console: Client, world: World) -> dict[str, Any]:
    return fields_of(console.get(page(world)).content, "provider_form")


def stored(world: World) -> Credential:
    return Credential.objects.get(provider=world.provider)


def test_empty_secret_keeps_the_stored_one(world: World, console: Client) -> None:
    assert console.post(page(world), {**opened(console, world), "max_connections": "7"}).status_code == 302
    assert stored(world).values == {"api_key": PROVIDER_SECRET}
    assert "Set; changed on" in console.get(page(world)).content.decode()


def test_new_secret_replaces_the_old_one_and_is_masked_in_the_audit(world: World, console: Client) -> None:
    assert console.post(page(world), {**opened(console, world), "credential_api_key": "sk-new-1"}).status_code == 302
    assert stored(world).values == {"api_key": "sk-new-1"}
    event = AuditEvent.objects.get(object_type="credential", action="changed")
    assert "sk-new-1" not in str(event.changes)


def test_refused_form_does_not_show_what_was_typed_into_a_secret(world: World, console: Client) -> None:
    values = {**opened(console, world), "credential_api_key": "sk-typed-secret", "base_url": "ftp://x"}
    response = console.post(page(world), values)
    assert response.status_code == 200
    assert "sk-typed-secret" not in response.content.decode()
    assert stored(world).values == {"api_key": PROVIDER_SECRET}


def test_kind_that_does_not_fit_or_is_incomplete_is_refused(world: World, console: Client) -> None:
    for change, words in (
        ({"credential_kind": "aws"}, "does not fit a provider of format anthropic"),
        ({"credential_kind": "bearer"}, "needs token"),
        ({"format": "bedrock", "region": "us-east-1"}, "does not fit a provider of format bedrock"),
    ):
        response = console.post(page(world), {**opened(console, world), **change})
        assert words in response.content.decode()
    assert stored(world).kind == "api_key"


def test_values_that_are_no_secrets_are_shown_and_can_be_cleared(world: World, console: Client) -> None:
    aws = {
        "format": "bedrock", "region": "us-east-1", "credential_kind": "aws", "credential_access_key_id": "AKIA1",
        "credential_secret_access_key": "aws-canary", "credential_role_arn": "arn:aws:iam::1:role/x",
    }  # fmt: skip
    assert console.post(page(world), {**opened(console, world), **aws}).status_code == 302
    again = opened(console, world)
    assert (again["credential_access_key_id"], again["credential_secret_access_key"]) == ("AKIA1", "")
    assert console.post(page(world), {**again, "credential_role_arn": ""}).status_code == 302
    assert stored(world).values == {"access_key_id": "AKIA1", "secret_access_key": "aws-canary"}


def test_credential_changed_by_someone_else_makes_the_form_stale(world: World, console: Client) -> None:
    mine = opened(console, world)
    console.post(page(world), {**opened(console, world), "credential_api_key": "sk-theirs"})
    response = console.post(page(world), {**mine, "credential_api_key": "sk-mine"})
    assert response.status_code == 200
    assert "while you were editing" in response.content.decode()
    assert stored(world).values == {"api_key": "sk-theirs"}


def test_new_provider_with_its_credential(world: World, console: Client) -> None:
    address = reverse("admin:routing_provider_add")
    values = fields_of(console.get(address).content, "provider_form")
    values |= {"name": "second", "base_url": "https://api.example.com", "credential_api_key": "sk-2"}
    made = console.post(address, values, follow=True)
    assert Credential.objects.get(provider__name="second").values == {"api_key": "sk-2"}
    there = reverse("admin:routing_provider_change", args=[Provider.objects.get(name="second").pk])
    assert made.redirect_chain == [(there, 302)], "to its own page, where the connection is tested"
    assert made.status_code == 200, "without any target yet"
    assert 'id="test-model" name="model" list="test-models" value=""' in made.content.decode()


def test_the_first_model_of_a_provider_is_proposed_for_the_test(world: World, console: Client) -> None:
    assert 'list="test-models" value="claude-sonnet-4-5"' in console.get(page(world)).content.decode()


def test_how_fetching_a_token_went_is_shown(world: World, console: Client) -> None:
    assert 'id="refresh"' not in console.get(page(world)).content.decode()
    failed = CredentialStatus(ok=False, at=timezone.now(), error="the endpoint said <no>", failures=3)
    store_refreshes({world.provider.pk: failed, world.provider.pk + 1000: failed})
    shown = console.get(page(world)).content.decode()
    assert "cannot be fetched" in shown
    assert "3 failures in a row" in shown
    assert "the endpoint said &lt;no&gt;" in shown
    assert "cannot be fetched" in console.get("/admin/").content.decode()
    store_refreshes({world.provider.pk: replace(failed, ok=True, error="", failures=0)})
    assert "token was fetched" in console.get(page(world)).content.decode()
    assert "cannot be fetched" not in console.get("/admin/").content.decode()


@dataclass
class Upstream:
    """A small upstream on this machine: answers with what it is told, remembers what it was sent."""

    status: int = 200
    body: bytes = b'{"type": "message"}'
    headers: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    location: str = ""
    address: str = ""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    told = Upstream()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.paths.append(self.path)
            told.headers = {name.lower(): value for name, value in self.headers.items()}
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(told.status)
            if told.location:
                self.send_header("location", told.location)
            self.send_header("content-length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        told.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def _at(world: World, upstream: Upstream, **changes: Any) -> int:
    fields = {"base_url": upstream.address, "allow_private_addresses": True, **changes}
    Provider.objects.filter(pk=world.provider.pk).update(**fields)
    return world.provider.pk


def test_probe_sends_the_credential_and_reports_status_and_words(world: World, upstream: Upstream) -> None:
    result = probe(_at(world, upstream, base_url=f"{upstream.address}/some/v1/"), "claude-x")
    assert (result.ok, result.status, result.text) == (True, 200, '{"type": "message"}')
    assert result.latency_ms > 0
    assert upstream.paths == ["/some/v1/messages"]
    assert upstream.headers["x-api-key"] == PROVIDER_SECRET
    assert upstream.headers["host"] == upstream.address.removeprefix("http://")


def test_probe_keeps_the_hosts_name_when_it_connects_to_the_checked_address(world: World, upstream: Upstream) -> None:
    port = upstream.address.rpartition(":")[2]
    assert probe(_at(world, upstream, base_url=f"http://localhost:{port}"), "claude-x").ok
    assert upstream.headers["host"] == f"localhost:{port}"


def test_probe_masks_the_credential_in_the_upstreams_words(world: World, upstream: Upstream) -> None:
    upstream.status, upstream.body = 401, f'{{"error": "bad key {PROVIDER_SECRET}"}}'.encode()
    result = probe(_at(world, upstream), "claude-x")
    assert (result.ok, result.status) == (False, 401)
    assert result.text == '{"error": "bad key ***"}'


def test_probe_shortens_a_long_answer(world: World, upstream: Upstream) -> None:
    upstream.body = b"x" * 100_000
    assert len(probe(_at(world, upstream), "claude-x").text) == 2000


def test_probe_follows_no_redirect(world: World, upstream: Upstream) -> None:
    upstream.status, upstream.location = 302, f"{upstream.address}/elsewhere"
    result = probe(_at(world, upstream), "claude-x")
    assert (result.ok, result.status) == (False, 302)
    assert len(upstream.paths) == 1


def test_probe_refuses_a_private_address(world: World, upstream: Upstream) -> None:
    result = probe(_at(world, upstream, allow_private_addresses=False), "claude-x")
    assert (result.ok, result.status, upstream.paths) == (False, 0, [])
    assert "not a public address" in result.text


def test_probe_tells_that_nobody_listens(world: World, upstream: Upstream) -> None:
    result = probe(_at(world, upstream, base_url="http://127.0.0.1:1"), "claude-x")
    assert (result.ok, result.status) == (False, 0)
    assert result.text.startswith("No answer")


BEDROCK = {"format": "bedrock", "region": "us-east-1"}
VERTEX = {"format": "vertex", "region": "global", "project": "acme-1"}


@pytest.mark.parametrize(
    ("changes", "kind", "values", "path", "authorization"),
    [
        (BEDROCK, "bearer", {"token": "bedrock-key"}, "/model/us.anthropic.claude-x/invoke", "Bearer bedrock-key"),
        (
            BEDROCK,
            "aws",
            {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "aws-secret"},
            "/model/us.anthropic.claude-x/invoke",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/",
        ),
        (
            VERTEX,
            "bearer",
            {"token": "google-token"},
            "/v1/projects/acme-1/locations/global/publishers/anthropic/models/us.anthropic.claude-x:rawPredict",
            "Bearer google-token",
        ),
    ],
)
def test_probe_speaks_the_providers_format_and_signs_as_the_gateway_does(
    changes: Any, kind: str, values: Any, path: str, authorization: str, world: World, upstream: Upstream
) -> None:
    Credential.objects.filter(provider=world.provider).delete()
    Credential.objects.create(provider=world.provider, kind=kind, values=values)
    assert probe(_at(world, upstream, **changes), "us.anthropic.claude-x").ok
    assert upstream.paths == [path]
    assert upstream.headers["authorization"].startswith(authorization)


def test_probe_names_what_keeps_it_from_being_sent(world: World, upstream: Upstream) -> None:
    result = probe(_at(world, upstream, **VERTEX), "../../elsewhere")
    assert not result.ok
    assert "Nothing was sent" in result.text
    assert upstream.paths == []


def test_result_is_shown_once_on_the_page_and_audited(world: World, console: Client, upstream: Upstream) -> None:
    upstream.status, upstream.body = 529, b'{"error": {"message": "Overloaded <b>"}}'
    pk = _at(world, upstream)
    shown = console.post(reverse("admin:routing_provider_test", args=[pk]), {"model": "claude-x"}, follow=True)
    assert "status 529" in shown.content.decode()
    assert "Overloaded &lt;b&gt;" in shown.content.decode()
    assert "Overloaded" not in console.get(page(world)).content.decode()
    event = AuditEvent.objects.get(action="tested")
    assert event.changes["status"] == 529


def test_test_takes_a_post_and_a_model(world: World, console: Client, upstream: Upstream) -> None:
    address = reverse("admin:routing_provider_test", args=[_at(world, upstream)])
    assert console.get(address).status_code == 405
    console.post(address, {"model": " "})
    assert upstream.paths == []
