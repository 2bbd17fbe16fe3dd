"""Blocks to copy, for each tool: they carry the gateway's address, the key (or its place), and names of models."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from accounting.clients.pins import Pins, pins_for

ANTHROPIC, BEDROCK, VERTEX = "anthropic", "bedrock", "vertex"
FORMATS = {ANTHROPIC: lazy("Anthropic Messages"), BEDROCK: "Bedrock", VERTEX: "Vertex"}
NO_KEY = "PASTE_YOUR_KEY_HERE"
HELPER_LIFETIME_MS = 300_000
HELPER, FLEET_HELPER = "~/.claude/gateway-key.sh", "/usr/local/bin/gateway-key"
HELPER_SCRIPT = (
    "#!/bin/sh\n# Prints the key: from a vault, or from a file that only you can read.\ncat ~/.config/gateway-key"
)
MANAGED_FILES = (
    ("Linux, WSL", "/etc/claude-code/managed-settings.json"),
    ("macOS", "/Library/Application Support/ClaudeCode/managed-settings.json"),
    ("Windows", r"C:\Program Files\ClaudeCode\managed-settings.json"),
)


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom blocks are written: the address to use, the key's secret or what stands in its place, and the names of models
    that the key may ask for."""

    address: str
    secret: str = NO_KEY
    names: tuple[str, ...] = ()

    @property
    def pins(self) -> Pins:
        return pins_for(self.names)


@dataclass(frozen=True, slots=True)
class Block:
    """Lines to paste; `where` says into what, `note` what to know about them."""

    id: str
    title: str
    text: str
    where: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """What people use; `formats` are those that it can speak, the best choice first."""

    key: str
    title: Any
    formats: tuple[str, ...]
    write: Callable[[Reader, str], list[Block]]


def variables(reader: Reader, format_: str, *, with_key: bool = True) -> list[tuple[str, str]]:
    """Claude Code's variables for a format, in the order in which people read them."""
    address, secret = reader.address, reader.secret
    if format_ == BEDROCK:
        chosen = [
            ("CLAUDE_CODE_USE_BEDROCK", "1"),
            ("ANTHROPIC_BEDROCK_BASE_URL", f"{address}/bedrock"),
            ("AWS_REGION", "us-east-1"),
            *([("AWS_BEARER_TOKEN_BEDROCK", secret)] if with_key else [("CLAUDE_CODE_SKIP_BEDROCK_AUTH", "1")]),
        ]
    elif format_ == VERTEX:
        chosen = [
            ("CLAUDE_CODE_USE_VERTEX", "1"),
            ("ANTHROPIC_VERTEX_BASE_URL", f"{address}/vertex/v1"),
            ("ANTHROPIC_VERTEX_PROJECT_ID", "any"),
            ("CLOUD_ML_REGION", "global"),
            ("CLAUDE_CODE_SKIP_VERTEX_AUTH", "1"),
            *([("ANTHROPIC_AUTH_TOKEN", secret)] if with_key else []),
        ]
    else:
        chosen = [("ANTHROPIC_BASE_URL", address), *([("ANTHROPIC_AUTH_TOKEN", secret)] if with_key else [])]
    return [*chosen, *reader.pins.variables]


def first_steps(reader: Reader) -> list[Block]:
    """What stands beside a secret that is shown once."""
    claude, _settings, *_rest = claude_code(reader, ANTHROPIC)
    return [claude, *curl(reader, ANTHROPIC), python_sdk(reader, ANTHROPIC)[-1]]


def claude_code(reader: Reader, format_: str) -> list[Block]:
    given = variables(reader, format_)
    lifetime = ("CLAUDE_CODE_API_KEY_HELPER_TTL_MS", str(HELPER_LIFETIME_MS))
    bare = dict([*variables(reader, format_, with_key=False), lifetime])
    helped, managed = ({"apiKeyHelper": command, "env": bare} for command in (HELPER, FLEET_HELPER))
    files = "; ".join(f"{system}: {path}" for system, path in MANAGED_FILES)
    note = _("Claude Code runs the command every five minutes, and again after a 401: the key can be in a vault.")
    if format_ == BEDROCK:
        note += " " + _("In this mode only inference carries it; token counts are then estimated.")
    return [
        Block("shell", _("For this terminal"), f"{exports(given)}\nclaude", _("A shell on Linux, macOS or WSL")),
        Block(
            "settings",
            _("For good"),
            as_json({"env": dict(given)}),
            _("~/.claude/settings.json, for all your projects"),
            _("What stands here wins over the shell. A file that is there already: add the lines under env to it."),
        ),
        Block("powershell", _("PowerShell"), f"{powershell(given)}\nclaude", _("A shell on Windows")),
        Block("helper", _("With a command that prints the key"), as_json(helped), "~/.claude/settings.json", note),
        Block("helper-script", _("Such a command"), HELPER_SCRIPT, HELPER, _("Make it executable: chmod 700")),
        Block(
            "managed",
            _("For a fleet of machines"),
            as_json(managed),
            files,
            _(
                "Managed settings win over everything that people set themselves. Each person's key comes from the command."
            ),
        ),
    ]


def vs_code(reader: Reader, format_: str) -> list[Block]:
    given = [{"name": name, "value": value} for name, value in variables(reader, format_)]
    content = {"claudeCode.disableLoginPrompt": True, "claudeCode.environmentVariables": given}
    note = _("The extension reads ~/.claude/settings.json, too: what stands there works in the terminal as well.")
    where = _("VS Code: the command “Preferences: Open User Settings (JSON)”")
    shared = as_json({"env": dict(variables(reader, format_))})
    return [
        Block("vscode", _("The extension's settings"), as_json(content), where, note),
        Block("vscode-shared", _("Or shared with the terminal"), shared, "~/.claude/settings.json"),
    ]


def github_actions(reader: Reader, format_: str) -> list[Block]:
    pinned = "\n".join(f"      {name}: {json.dumps(value)}" for name, value in reader.pins.variables)
    workflow = f"""name: Claude
on:
  issue_comment:
    types: [created]
jobs:
  claude:
    if: contains(github.event.comment.body, '@claude')
    runs-on: ubuntu-latest
    permissions:
      contents: write
      pull-requests: write
      issues: write
      id-token: write
    env:
      ANTHROPIC_BASE_URL: {reader.address}
{pinned}
    steps:
      - uses: actions/checkout@v4
      - uses: anthropics/claude-code-action@v1
        with:
          anthropic_api_key: ${{{{ secrets.GATEWAY_KEY }}}}"""
    command = f"gh secret set GATEWAY_KEY --body {in_shell(reader.secret)}"
    why = _("Take a service key for this, with a budget of its own; the runner must be able to reach the gateway.")
    return [
        Block(
            "actions-secret", _("The key as a secret of the repository"), command, _("A shell in the repository"), why
        ),
        Block("actions", _("The workflow"), workflow, ".github/workflows/claude.yml"),
    ]


def python_sdk(reader: Reader, format_: str) -> list[Block]:
    made = {
        ANTHROPIC: f"anthropic.Anthropic(\n    base_url={reader.address!r},\n    api_key={reader.secret!r},\n)",
        BEDROCK: (
            f"anthropic.AnthropicBedrock(\n    base_url={reader.address + '/bedrock'!r},\n    api_key={reader.secret!r},\n"
            "    aws_region='us-east-1',\n)"
        ),
        VERTEX: (
            f"anthropic.AnthropicVertex(\n    base_url={reader.address + '/vertex/v1'!r},\n"
            f"    access_token={reader.secret!r},\n    project_id='any',\n    region='global',\n)"
        ),
    }[format_]
    program = f"""import anthropic

client = {made}
message = client.messages.create(
    model={reader.pins.small!r},
    max_tokens=64,
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print(message.content[0].text)"""
    extra = {ANTHROPIC: "anthropic", BEDROCK: "'anthropic[bedrock]'", VERTEX: "'anthropic[vertex]'"}[format_]
    return [
        Block("python-install", _("Install"), f"pip install {extra}", _("A shell")),
        Block("python", "Python", program, "hello.py"),
    ]


def typescript_sdk(reader: Reader, format_: str) -> list[Block]:
    program = f"""import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({{
  baseURL: {json.dumps(reader.address)},
  apiKey: {json.dumps(reader.secret)},
}});
const message = await client.messages.create({{
  model: {json.dumps(reader.pins.small)},
  max_tokens: 64,
  messages: [{{ role: "user", content: "Say hello." }}],
}});
console.log(message.content);"""
    return [
        Block("ts-install", _("Install"), "npm install @anthropic-ai/sdk", _("A shell")),
        Block("ts", "TypeScript", program, "hello.mts"),
    ]


def boto3_sdk(reader: Reader, format_: str) -> list[Block]:
    program = f"""import json
import os

import boto3

os.environ["AWS_BEARER_TOKEN_BEDROCK"] = {reader.secret!r}
client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url={reader.address + "/bedrock"!r})
answer = client.invoke_model(
    modelId={reader.pins.small!r},
    body=json.dumps({{
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 64,
        "messages": [{{"role": "user", "content": "Say hello."}}],
    }}),
)
print(json.loads(answer["body"].read())["content"][0]["text"])"""
    note = ""
    if reader.address.startswith("http://"):
        note = _("boto3 sends such a key over https only; this address is http, so it refuses until TLS is before it.")
    return [
        Block("boto3-install", _("Install"), "pip install boto3", _("A shell")),
        Block("boto3", "Python", program, "hello.py", note),
    ]


def vertex_sdk(reader: Reader, format_: str) -> list[Block]:
    return python_sdk(reader, VERTEX)


def curl(reader: Reader, format_: str) -> list[Block]:
    body = json.dumps(
        {"model": reader.pins.small, "max_tokens": 64, "messages": [{"role": "user", "content": "Say hello."}]}
    )
    text = (
        f"curl {reader.address}/v1/messages \\\n"
        f"  -H {in_shell(f'x-api-key: {reader.secret}')} \\\n"
        '  -H "anthropic-version: 2023-06-01" \\\n'
        '  -H "content-type: application/json" \\\n'
        f"  -d {shlex.quote(body)}"
    )
    return [Block("curl", "curl", text, _("A shell"))]


TOOLS: Mapping[str, Tool] = {
    tool.key: tool
    for tool in (
        Tool("claude-code", "Claude Code", (ANTHROPIC, BEDROCK, VERTEX), claude_code),
        Tool("vs-code", "VS Code", (ANTHROPIC, BEDROCK, VERTEX), vs_code),
        Tool("github-actions", "GitHub Actions", (ANTHROPIC,), github_actions),
        Tool("python", "Python SDK", (ANTHROPIC, BEDROCK, VERTEX), python_sdk),
        Tool("typescript", "TypeScript SDK", (ANTHROPIC,), typescript_sdk),
        Tool("boto3", "boto3", (BEDROCK,), boto3_sdk),
        Tool("vertex-sdk", "Vertex SDK", (VERTEX,), vertex_sdk),
        Tool("curl", "curl", (ANTHROPIC,), curl),
    )
}


def exports(given: list[tuple[str, str]]) -> str:
    return "\n".join(f"export {name}={in_shell(value)}" for name, value in given)


def powershell(given: list[tuple[str, str]]) -> str:
    quoted = ((name, value.replace("'", "''")) for name, value in given)
    return "\n".join(f"$env:{name} = '{value}'" for name, value in quoted)


def in_shell(value: str) -> str:
    """A value in quotes. Imported keys and names of models can have any character."""
    return shlex.quote(value) if set(value) & set("\"'$`\\!") else f'"{value}"'


def as_json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)
