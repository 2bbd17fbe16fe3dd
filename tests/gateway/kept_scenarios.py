"""Batches and files as the vendor's Python SDK uses them, newest and last 0.x; run and printed as `sdk_scenarios`."""

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import anthropic

from tests.gateway.sdk_scenarios import failure_of, hello

CONTENT = b"\x00\xff line\r\n--not-the-boundary\r\n" * 3000


def requests(*models: str) -> Any:
    return [
        {
            "custom_id": f"one-{index}",
            "params": {"model": model, "max_tokens": 64, "messages": hello(f"number {index}")},
        }
        for index, model in enumerate(models)
    ]


def batch_from_creation_to_deletion(client: anthropic.Anthropic) -> None:
    made = client.messages.batches.create(requests=requests("claude-alias", "claude-same"))
    assert made.processing_status == "in_progress"
    assert made.results_url is None
    found = client.messages.batches.retrieve(made.id)
    assert found.id == made.id
    while found.processing_status != "ended":
        found = client.messages.batches.retrieve(made.id)
    assert str(found.results_url).startswith(str(client.base_url).rstrip("/") + "/v1/messages/batches/")
    lines = {line.custom_id: line.result for line in client.messages.batches.results(made.id)}
    assert lines["one-0"].type == "succeeded"
    assert lines["one-0"].message.content[0].text == "You said: number 0"  # type: ignore[union-attr]
    assert lines["one-1"].type == "succeeded"
    assert client.messages.batches.delete(made.id).id == made.id
    assert failure_of(lambda: client.messages.batches.retrieve(made.id)).status_code == 404


def batch_is_canceled(client: anthropic.Anthropic) -> None:
    made = client.messages.batches.create(requests=requests("claude-alias"))
    assert client.messages.batches.cancel(made.id).processing_status == "canceling"
    error = failure_of(lambda: client.messages.batches.delete(made.id))
    assert "in progress" in str(error)


def batches_are_listed(client: anthropic.Anthropic) -> None:
    made = [client.messages.batches.create(requests=requests("claude-alias")).id for _ in range(3)]
    everything = [batch.id for batch in client.messages.batches.list(limit=100)]
    assert everything[:3] == made[::-1]
    assert [batch.id for batch in client.messages.batches.list(limit=1)] == everything
    before = client.messages.batches.list(limit=1, before_id=made[0])
    assert [batch.id for batch in before.data] == [made[1]]


def file_from_upload_to_deletion(client: anthropic.Anthropic) -> None:
    files: Any = client.files if hasattr(client, "files") else client.beta.files
    made = files.upload(file=("data.bin", CONTENT, "application/octet-stream"))
    assert (made.filename, made.size_bytes) == ("data.bin", len(CONTENT))
    assert files.retrieve_metadata(made.id).id == made.id
    assert files.download(made.id).read() == CONTENT
    others = [files.upload(file=(f"{index}.html", b"<html>", "text/html")).id for index in range(2)]
    assert files.download(others[0]).read() == b"<html>"
    listed = [file.id for file in files.list(limit=1)]
    assert listed[:3] == [*others[::-1], made.id]
    assert files.delete(made.id).id == made.id
    assert failure_of(lambda: files.download(made.id)).status_code == 404
    assert made.id not in [file.id for file in files.list()]


SCENARIOS: tuple[Callable[[anthropic.Anthropic], None], ...] = (
    batch_from_creation_to_deletion,
    batch_is_canceled,
    batches_are_listed,
    file_from_upload_to_deletion,
)


def main() -> None:
    url, key = sys.argv[1:]
    outcome = {}
    for scenario in SCENARIOS:
        client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=20)
        try:
            scenario(client)
            outcome[scenario.__name__] = ""
        except (AssertionError, anthropic.AnthropicError, AttributeError, IndexError, KeyError):
            outcome[scenario.__name__] = traceback.format_exc()
        client.close()
    sys.stdout.write(json.dumps({"version": anthropic.__version__, "outcome": outcome}))


if __name__ == "__main__":
    main()
