"""`EMAIL_URL`: what mail servers it names, and what stops the start with a sentence."""

import pytest

from gateway_project.environment import UnusableSetting, mail


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", {}),
        ("smtp://mail.example.org", {"EMAIL_HOST": "mail.example.org", "EMAIL_PORT": None}),
        ("smtp+tls://u:p%40ss@mail.example.org", {"EMAIL_USE_TLS": True, "EMAIL_PORT": 587, "EMAIL_HOST_PASSWORD": "p@ss"}),
        ("smtp+ssl://mail.example.org", {"EMAIL_USE_SSL": True, "EMAIL_PORT": 465}),
        ("smtp+tls://mail.example.org:2525", {"EMAIL_PORT": 2525}),
        ("consolemail://", {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}),
    ],
)  # fmt: skip
def test_an_address_names_server_encryption_and_account(
    url: str, expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMAIL_URL", url)
    found = mail()
    assert {name: found.get(name) for name in expected} == expected
    assert bool(found) == bool(url)


@pytest.mark.parametrize("url", ["mail.example.org", "https://mail.example.org", "smtp://mail.example.org:port"])
def test_what_is_no_mail_server_stops_the_start(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMAIL_URL", url)
    with pytest.raises(UnusableSetting, match="EMAIL_URL"):
        mail()
