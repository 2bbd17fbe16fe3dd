"""Blocks for programs: Anthropic's SDKs, boto3, curl. Each is a whole program that can be run."""

import json
import shlex

from django.utils.translation import gettext as _

from accounting.clients.blocks import ANTHROPIC, BEDROCK, VERTEX, Block, Reader, in_shell


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
