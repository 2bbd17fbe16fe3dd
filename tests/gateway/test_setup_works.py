"""What the dashboard tells people to paste works as it stands: a key is made by hand, and its blocks are run."""

import html
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anthropic
import pytest

from tests.fake_provider import FakeProvider
from tests.gateway.conftest import make_provider
from tests.gateway.console import Console
from tests.harness import Gateway, Template, standard_config, wait_until
from tests.harness.tls import TlsEnd, write_certificate
from tests.pages.test_keys_page import KEY

NEW, KEYS_PAGE, SETUP = "/teams/alpha/keys/new/", "/teams/alpha/keys/", "/teams/alpha/setup/"
SAID = "You said: Say hello."


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeProvider]:
    with make_provider() as provider:
        yield provider
        assert provider.violations == []


@pytest.fixture(scope="module")
def gateway(template: Template, upstream: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(template, tmp_path_factory.mktemp("setup"), standard_config(upstream.url)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def console(gateway: Gateway) -> Console:
    return Console(gateway)


def made(console: Console, name: str) -> tuple[str, str]:
    """A new service key: the page that shows its secret, and the secret."""
    (project,) = re.findall(r'<option value="(\d+)">alpha / one', console.get(NEW))
    page = console.save(NEW, "new-key", name=name, kind="service", models=["claude-alias"], project=project)
    secret = KEY.findall(page)[0]
    return page, str(secret)


def block(page: str, name: str) -> str:
    found = re.search(rf'<pre id="{name}"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found, f"no block {name}"
    return html.unescape(found.group(1))


def run(*command: str, **environment: str) -> str:
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        command, env={**known, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(program: str, **environment: str) -> str:
    return run(sys.executable, "-c", program, **environment).strip()


def test_the_blocks_beside_a_new_secret_get_an_answer(gateway: Gateway, console: Console) -> None:
    page, secret = made(console, "first")
    assert python(block(page, "python")) == SAID
    if shutil.which("curl"):
        assert SAID in run("/bin/sh", "-c", block(page, "curl"))
    shell = block(page, "shell").removesuffix("claude")
    told = run("/bin/sh", "-c", f"{shell}\nenv")
    given = dict(line.split("=", 1) for line in told.splitlines() if line.startswith("ANTHROPIC_"))
    with anthropic.Anthropic(base_url=given["ANTHROPIC_BASE_URL"], auth_token=given["ANTHROPIC_AUTH_TOKEN"]) as client:
        for name in (name for name in given if name.endswith("MODEL")):
            answer = client.messages.create(
                model=given[name], max_tokens=64, messages=[{"role": "user", "content": "Say hello."}]
            )
            assert answer.content[0].to_dict()["text"] == SAID
    assert given["ANTHROPIC_AUTH_TOKEN"] == secret


@pytest.mark.parametrize("format_", ["anthropic", "bedrock", "vertex"])
def test_the_sdks_blocks_of_every_format_get_an_answer(gateway: Gateway, console: Console, format_: str) -> None:
    _, secret = made(console, f"sdk-{format_}")
    page = console.post(SETUP, {"secret": secret, "tool": "python", "format": format_})
    assert python(block(page, "python")) == SAID


def test_the_block_of_boto3_gets_an_answer_over_tls(gateway: Gateway, console: Console, tmp_path: Path) -> None:
    _, secret = made(console, "boto3")
    page = console.post(SETUP, {"secret": secret, "tool": "boto3"})
    certificate = write_certificate(tmp_path)
    with TlsEnd(gateway.port, certificate) as end:
        program = block(page, "boto3").replace(gateway.url, f"https://127.0.0.1:{end.port}")
        assert python(program, AWS_CA_BUNDLE=str(certificate)) == SAID


def test_a_rotated_key_works_by_both_secrets_and_says_that_the_old_one_is_used(
    gateway: Gateway, console: Console
) -> None:
    _, old = made(console, "turning")
    (pk,) = re.findall(r'keys/(\d+)/">turning<', console.get(KEYS_PAGE))
    shown = console.save(f"{KEYS_PAGE}{pk}/rotate/", "rotate-key", overlap="1h")
    fresh = str(KEY.findall(shown)[0])
    assert fresh != old

    def answers(secret: str) -> bool:
        with anthropic.Anthropic(base_url=gateway.url, api_key=secret, max_retries=0) as client:
            try:
                client.messages.create(model="claude-alias", max_tokens=64, messages=[{"role": "user", "content": "x"}])
            except anthropic.AuthenticationError:
                return False
        return True

    wait_until(lambda: answers(fresh), what="the new secret")
    assert answers(old)
    wait_until(
        lambda: "It is still used" in console.get(f"{KEYS_PAGE}{pk}/"), what="the use of the old secret on the page"
    )
    assert "Anthropic/Python" in console.get(KEYS_PAGE)
    console.post(f"{KEYS_PAGE}{pk}/revoke/", {})
    wait_until(lambda: not answers(fresh), what="the end of the key")
    assert not answers(old)
