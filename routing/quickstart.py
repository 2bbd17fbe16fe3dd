"""The quick start of the development server: a configuration for an empty installation, and what to do with it.

`prepare` is called before the server listens; what it returns is shown once it does. No default account and no default
key exist: the key and the link for the first administrator are made here and shown once.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from django.urls import reverse

from accounting.audit.changes import Actor, changing
from accounting.models import Team
from accounting.services import first_admin_link
from gateway_project.crypto import Secret
from gateway_project.environment import read
from routing.declarative import import_config
from routing.models import Provider
from routing.services import save_provider
from routing.simulator import MOUNT

FILE = Path(__file__).with_name("quickstart.yaml")
SIMULATED, REAL = "simulated", "anthropic"
MODEL = "claude-opus-5-5"
ACTOR = Actor("runserver", "command")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the quick start made: the key's secret, and whether Claude models lead to Anthropic."""

    secret: Secret
    real: bool


def address_of(host: str, port: int) -> str:
    """Where a server that listens on `host` is reached from this machine, as a URL."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - recognised, not listened on
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def prepare(address: str, *, load: bool) -> str:
    """Loads the quick start if it is wanted and nothing is configured yet; returns the text to show."""
    loaded = load_configuration(address) if load and is_empty() else None
    if loaded is None:
        follow_address(address)
    return welcome(address, loaded, first_admin_link())


def is_empty() -> bool:
    return not Provider.objects.exists() and not Team.objects.exists()


def load_configuration(address: str) -> Loaded:
    """Applies the quick-start configuration. Raises ConfigRefused, as for a key that cannot be one."""
    api_key = read("ANTHROPIC_API_KEY")
    document = yaml.safe_dump(configuration(address, real=bool(api_key)))
    imported = import_config(document.encode(), environ={"ANTHROPIC_API_KEY": api_key}, actor=ACTOR)
    return Loaded(imported.keys[0].secret, bool(api_key))


def configuration(address: str, *, real: bool) -> dict[str, Any]:
    """The declarative configuration; with `real`, every route but the simulated one leads to Anthropic."""
    document: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    document["providers"][0]["base_url"] = f"{address}{MOUNT}"
    if real:
        credential = {"kind": "api_key", "api_key": "${ANTHROPIC_API_KEY}"}
        document["providers"].append({"name": REAL, "base_url": "https://api.anthropic.com", "credential": credential})
        for route in document["routes"]:
            if route["name"] != SIMULATED:
                route["targets"][0]["provider"] = REAL
    return document


def follow_address(address: str) -> None:
    """Lets the providers that the simulator stands for follow the development server to another port."""
    for provider in Provider.objects.filter(base_url__startswith="http://", base_url__endswith=MOUNT):
        if not re.fullmatch(rf"http://[^/]+{MOUNT}", provider.base_url):
            continue
        provider.base_url = f"{address}{MOUNT}"
        with changing(ACTOR) as change:
            save_provider(change, provider)


def welcome(address: str, loaded: Loaded | None, link: str | None) -> str:
    lines = [
        "",
        "The gateway's development server is ready.",
        "",
        f"  Console            {address}{reverse('admin:index')}",
        f"  Address of the API {address}",
    ]
    if link is not None:
        lines += [
            "",
            "There is no administrator yet. This link makes the first one; it works once, for a day:",
            "",
            f"  {address}{reverse('accounts:first_administrator', args=[link])}",
        ]
    if loaded is not None:
        lines += _first_steps(address, loaded)
    return "\n".join([*lines, "", "Ctrl-C stops the server.", ""])


def _first_steps(address: str, loaded: Loaded) -> list[str]:
    secret = loaded.secret.reveal()
    body = f'{{"model":"{MODEL}","max_tokens":200,"stream":true,"messages":[{{"role":"user","content":"Hello"}}]}}'
    curl = (
        f"curl -sN {address}/v1/messages -H 'authorization: Bearer {secret}' -H 'anthropic-version: 2023-06-01'"
        f" -H 'content-type: application/json' -d '{body}'"
    )
    served = (
        [
            "The quick-start configuration was loaded. Claude models are served by Anthropic,",
            "with the key in ANTHROPIC_API_KEY; the model named simulated, by a simulator.",
        ]
        if loaded.real
        else [
            "The quick-start configuration was loaded. A simulator answers for Claude models:",
            "no model is asked, nothing is paid. Add a real provider in the console.",
        ]
    )
    return [
        "",
        *served,
        "",
        "Its key is shown this once. Ask for a streamed answer:",
        "",
        f"  {curl}",
        "",
        "Point Claude Code here:",
        "",
        f"  export ANTHROPIC_BASE_URL={address}",
        f"  export ANTHROPIC_AUTH_TOKEN={secret}",
    ]
