"""Webhooks: signed as the standard says, to public addresses only, with an end in time."""

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from pytest_django import Settings

from gateway_project.crypto import Secret
from gateway_project.webhooks import check_url, new_webhook_secret, send_webhook, sign
from tests.alerts.receiver import Receiver, receiver
from tests.harness.tls import write_certificate

# The example of the standard's own libraries (standard-webhooks, 2026-08).
SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'


def leads_to(*addresses: str) -> object:
    def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def test_the_signature_is_the_standards() -> None:
    assert sign(SECRET, ID, TIMESTAMP, BODY) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_can_check_what_arrives(inbox: Receiver) -> None:
    secret = new_webhook_secret()
    outcome = send_webhook(inbox.url, secret, "msg_1", b'{"a":1}')
    assert (outcome.ok, outcome.status, outcome.error) == (True, 200, "")
    assert inbox.genuine(secret.reveal())
    assert not inbox.genuine(new_webhook_secret().reveal())
    assert (inbox.bodies, inbox.headers[0]["content-type"]) == ([b'{"a":1}'], "application/json")


@pytest.mark.parametrize("status", [301, 302, 307, 400, 410, 429, 500])
def test_anything_but_200_to_299_is_a_failure_and_redirects_are_not_followed(inbox: Receiver, status: int) -> None:
    inbox.statuses = [status]
    outcome = send_webhook(inbox.url, SECRET, ID, BODY)
    assert (outcome.ok, outcome.status) == (False, status)
    assert len(inbox.received) == 1


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1",
     "fe80::1%eth0", "fd00:ec2::254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "224.0.0.1"],
)  # fmt: skip
def test_a_name_that_leads_into_the_private_network_is_not_followed(
    inbox: Receiver, settings: Settings, address: str
) -> None:
    settings.GATEWAY_WEBHOOK_ALLOW_PRIVATE = False
    url = inbox.url.replace("127.0.0.1", "hooks.example.com")
    outcome = send_webhook(url, SECRET, ID, BODY, resolve=leads_to(address))  # type: ignore[arg-type]
    assert not outcome.ok
    assert "leads to no public address" in outcome.error
    assert not inbox.received


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    inbox: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means something public when it is checked and 127.0.0.1 a moment later."""
    settings.GATEWAY_WEBHOOK_ALLOW_PRIVATE = False
    asked: list[str] = []
    connected: list[object] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    def connect(address: object, *args: object, **options: object) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    outcome = send_webhook("https://hooks.example.com/x", SECRET, ID, BODY, resolve=resolve)
    assert (asked, connected) == (["hooks.example.com"], [("93.184.216.34", 443)])
    assert not outcome.ok


def test_of_several_addresses_the_first_that_answers_is_used(inbox: Receiver) -> None:
    url = inbox.url.replace("127.0.0.1", "hooks.example.com")
    outcome = send_webhook(url, SECRET, ID, BODY, resolve=leads_to("127.77.0.1", "127.0.0.1"))  # type: ignore[arg-type]
    assert outcome.ok


def test_over_tls_the_name_is_what_counts(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.GATEWAY_WEBHOOK_ALLOW_PRIVATE = True
    certificate = write_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with receiver(context) as inbox:
        assert "TLS failed" in send_webhook(inbox.url, SECRET, ID, BODY).error  # nobody vouches for it
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert send_webhook(inbox.url, SECRET, ID, BODY).ok
        other = inbox.url.replace("127.0.0.1", "hooks.example.com")
        outcome = send_webhook(other, SECRET, ID, BODY, resolve=leads_to("127.0.0.1"))  # type: ignore[arg-type]
        assert "TLS failed" in outcome.error
        assert len(inbox.received) == 1


def test_a_handshake_that_never_ends_is_cut_off(settings: Settings) -> None:
    settings.GATEWAY_WEBHOOK_ALLOW_PRIVATE = True
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outcome = send_webhook(f"https://127.0.0.1:{silent.getsockname()[1]}/", SECRET, ID, BODY, seconds=0.3)
    assert not outcome.ok
    assert outcome.duration_ms < 5000


def test_literal_and_hidden_private_addresses_are_refused_on_sending(inbox: Receiver, settings: Settings) -> None:
    settings.GATEWAY_WEBHOOK_ALLOW_PRIVATE = False
    for host in ("127.0.0.1", "localhost", "0x7f.1", "2130706433"):
        assert not send_webhook(inbox.url.replace("127.0.0.1", host), SECRET, ID, BODY).ok
    assert not inbox.received


def test_an_answer_that_drips_is_cut_off(inbox: Receiver) -> None:
    inbox.drip = True
    outcome = send_webhook(inbox.url, SECRET, ID, BODY, seconds=0.3)
    assert not outcome.ok
    assert 250 <= outcome.duration_ms < 5000


def test_nobody_there_is_a_failure_with_a_sentence(settings: Settings) -> None:
    settings.GATEWAY_WEBHOOK_ALLOW_PRIVATE = True
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        outcome = send_webhook(f"http://127.0.0.1:{free.getsockname()[1]}/", SECRET, ID, BODY)
    assert (outcome.ok, outcome.status) == (False, 0)
    assert "refused" in outcome.error


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "ftp://example.com", "https://", "https://user:pw@example.com/", "https://127.0.0.1/",
     "https://[::1]/", "https://localhost/", "https://169.254.169.254/latest/", "https://example.com/#x",
     "https://example.com:0/", "https://exa mple.com/", "https://10.1.2.3:8443/hook", "javascript:alert(1)",
     "https://example.com:99999/", "https://example.com\\@10.0.0.1/"],
)  # fmt: skip
def test_addresses_that_make_no_sense_are_refused_when_they_are_set(url: str) -> None:
    assert check_url(url)


def test_public_https_addresses_are_fine() -> None:
    assert [check_url(url) for url in ("https://hooks.example.com/a?b=c", "https://93.184.216.34:8443/")] == ["", ""]
