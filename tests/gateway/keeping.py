"""A running gateway before an account that keeps batches and files; what tests of both do with it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fake_provider import FakeProvider
from tests.fake_provider.kept import Account
from tests.harness import KEYS, Gateway, Reply, Template, alias, route, send, standard_config, target

BATCHES = "/v1/messages/batches"
FILES = "/v1/files"


@dataclass(frozen=True, slots=True)
class House:
    """All that runs."""

    gateway: Gateway
    account: Account
    provider: FakeProvider

    def create(self, *models: str, key: str = KEYS["main"], prefix: str = "") -> str:
        """A new batch's id."""
        made = self.gateway.post(batch_of(*models), prefix + BATCHES, key=key)
        assert made.status == 200, made.body
        return str(made.json["id"])

    def upload(self, content: bytes = b"content", key: str = KEYS["main"], content_type: str = "text/plain") -> str:
        """A new file's id."""
        body, boundary = form(content, content_type)
        made = self.gateway.post(body, FILES, key=key, headers=[("content-type", boundary)])
        assert made.status == 200, made.body
        return str(made.json["id"])

    def do(self, method: str, path: str, key: str = KEYS["main"]) -> Reply:
        if method == "POST":
            with self.gateway.client() as client:
                send(client, b"", path, key=key)
                return client.reply()
        return self.gateway.get(path, key=key, method=method)


def batch_of(*models: str, text: str = "hello") -> dict[str, Any]:
    return {
        "requests": [
            {
                "custom_id": f"c{index}",
                "params": {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": text}]},
            }
            for index, model in enumerate(models)
        ]
    }


def form(content: bytes, content_type: str = "text/plain") -> tuple[bytes, str]:
    """A form with a file, and its content-type."""
    head = f'--xYz\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\ncontent-type: {content_type}\r\n\r\n'
    return head.encode() + content + b"\r\n--xYz--\r\n", "multipart/form-data; boundary=xYz"


@contextmanager
def house(template: Template, folder: Path, *, patient: bool = True, **options: Any) -> Iterator[House]:
    account = Account(patient=patient)
    with account.provider(KEYS.values()) as provider:
        config = standard_config(provider.url)
        config.providers[-1]["credential"] = config.providers[0]["credential"]
        config.routes.append(route("second", target("anthropic-second", "claude-other")))
        config.aliases.append(alias("claude-other", "second"))
        with Gateway(template, folder, config, **options) as gateway:
            yield House(gateway, account, provider)
        assert provider.violations == []


def usage_of_results(results: bytes) -> dict[str, dict[str, int]]:
    """The tokens of each model, added up by hand."""
    sums: dict[str, dict[str, int]] = {}
    for line in results.splitlines():
        result = json.loads(line)["result"]
        if result["type"] != "succeeded":
            continue
        used, total = result["message"]["usage"], sums.setdefault(result["message"]["model"], {})
        split = used["cache_creation"]
        for name, value in {
            "input": used["input_tokens"],
            "output": used["output_tokens"],
            "cache_read": used["cache_read_input_tokens"],
            "cache_write_5m": split["ephemeral_5m_input_tokens"],
            "cache_write_1h": split["ephemeral_1h_input_tokens"],
        }.items():
            total[name] = total.get(name, 0) + value
    return sums
