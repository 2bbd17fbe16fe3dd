"""Blocks to copy, for each tool: they carry the gateway's address, the key (or its place), and names of models."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from accounting.clients.blocks import ANTHROPIC, BEDROCK, VERTEX, Block, Reader, as_json, exports, in_shell, powershell
from accounting.clients.sdks import boto3_sdk, curl, python_sdk, typescript_sdk, vertex_sdk

HELPER_LIFETIME_MS = 300_000
HELPER, FLEET_HELPER = "~/.claude/gateway-key.sh", "/usr/local/bin/gateway-key"
HELPER_SCRIPT = (
    "#!/bin/sh\n# Prints the key: from a vault, or from a file that only you can read.\ncat ~/.config/gateway-key"
)
WORKFLOW_HEAD = """name: Claude
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
      id-token: write"""
WORKFLOW_STEPS = """    steps:
      - uses: actions/checkout@v4
      - uses: anthropics/claude-code-action@v1
        with:
          anthropic_api_key: ${{ secrets.GATEWAY_KEY }}"""
MANAGED_FILES = (
    ("Linux, WSL", "/etc/claude-code/managed-settings.json"),
    ("macOS", "/Library/Application Support/ClaudeCode/managed-settings.json"),
    ("Windows", r"C:\Program Files\ClaudeCode\managed-settings.json"),
)


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
    everyone = _(
        "Managed settings win over everything that people set themselves. Each person's key comes from the command."
    )
    files = "; ".join(f"{system}: {path}" for system, path in MANAGED_FILES)
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
        Block(
            "helper",
            _("With a command that prints the key"),
            as_json(helped),
            "~/.claude/settings.json",
            _helper_note(format_),
        ),
        Block("helper-script", _("Such a command"), HELPER_SCRIPT, HELPER, _("Make it executable: chmod 700")),
        Block("managed", _("For a fleet of machines"), as_json(managed), files, everyone),
    ]


def _helper_note(format_: str) -> str:
    note = _("Claude Code runs the command every five minutes, and again after a 401: the key can be in a vault.")
    only = _("In this mode only inference carries it; token counts are then estimated.")
    return f"{note} {only}" if format_ == BEDROCK else note


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
    workflow = f"""{WORKFLOW_HEAD}
    env:
      ANTHROPIC_BASE_URL: {reader.address}
{pinned}
{WORKFLOW_STEPS}"""
    command = f"gh secret set GATEWAY_KEY --body {in_shell(reader.secret)}"
    why = _("Take a service key for this, with a budget of its own; the runner must be able to reach the gateway.")
    return [
        Block(
            "actions-secret", _("The key as a secret of the repository"), command, _("A shell in the repository"), why
        ),
        Block("actions", _("The workflow"), workflow, ".github/workflows/claude.yml"),
    ]


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
