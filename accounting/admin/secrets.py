"""Lines to paste beside a secret that was just made."""

from dataclasses import dataclass

from gateway_project.crypto import Secret


@dataclass(frozen=True, slots=True)
class Snippet:
    """Lines to paste, with a title."""

    id: str
    title: str
    text: str


def key_snippets(address: str, model: str, secret: Secret) -> list[Snippet]:
    """What a person does next with a new virtual key."""
    text = secret.reveal()
    curl = (
        f"curl {address}/v1/messages \\\n"
        f'  -H "x-api-key: {text}" \\\n'
        '  -H "anthropic-version: 2023-06-01" \\\n'
        '  -H "content-type: application/json" \\\n'
        f"""  -d '{{"model": "{model}", "max_tokens": 64, "messages": [{{"role": "user", "content": "Say hello."}}]}}'"""
    )
    claude = f'export ANTHROPIC_BASE_URL="{address}"\nexport ANTHROPIC_AUTH_TOKEN="{text}"\nclaude'
    return [
        Snippet("snippet-curl", "Try it with curl", curl),
        Snippet("snippet-claude", "Use it in Claude Code", claude),
    ]


def token_snippets(address: str, secret: Secret) -> list[Snippet]:
    """What a person does next with a new API token."""
    curl = f'curl "{address}/api/v1/requests/" \\\n  -H "Authorization: Bearer {secret.reveal()}"'
    return [Snippet("snippet-curl", "Read the latest requests", curl)]
