"""What a request makes use of, as words that the compatibility registry knows. Pure.

speed                         a field at the top of the body
output_config.effort          a field inside one of the objects `output_config`, `thinking`
cache_control.ttl             a key of any `cache_control`, wherever it stands
messages[].output_config      a key of a message that is not `role` or `content`
messages[].role=system        a message of a role other than user and assistant
tools[].defer_loading         a key of a tool
tools[].type=web_search_*     the type of a tool that has one
source.type=url               the type of an image's or document's source
"""

from collections.abc import Iterator, Mapping
from typing import Any

from routing.formats.peek import BadBody

ENVELOPE = frozenset({"model", "stream", "anthropic_version", "anthropic_beta", "betas"})
_OBJECTS = ("output_config", "thinking")
_ORDINARY_ROLES = ("user", "assistant")
_MOST = 2_000  # different ones; a real request has some dozens


def features_of(body: Mapping[str, Any]) -> frozenset[str]:
    """Every feature of a decoded body; what stands in a wrong place is passed over, the upstream will say so.

    Raises `BadBody` for a body with thousands of different ones.
    """
    found: set[str] = set()
    for name, value in body.items():
        if name in ENVELOPE:
            continue
        found.add(name)
        if name in _OBJECTS and isinstance(value, dict):
            found.update(f"{name}.{key}" for key in value)
    found.update(_of_cache_control(body))
    _add_tools(body.get("tools"), found)
    _add_messages(body.get("messages"), found)
    _add_blocks(body.get("system"), found)
    if len(found) > _MOST:
        raise BadBody("The request body has too many different fields.")
    return frozenset(found)


def _of_cache_control(value: Mapping[str, Any]) -> Iterator[str]:
    control = value.get("cache_control")
    if isinstance(control, dict):
        for key in control:
            yield f"cache_control.{key}"


def _add_tools(tools: object, found: set[str]) -> None:
    for tool in _objects(tools):
        kind = tool.get("type")
        if isinstance(kind, str):
            found.add(f"tools[].type={kind}")
        found.update(f"tools[].{key}" for key in tool if key not in ("type", "cache_control"))
        found.update(_of_cache_control(tool))


def _add_messages(messages: object, found: set[str]) -> None:
    for message in _objects(messages):
        role = message.get("role")
        if isinstance(role, str) and role not in _ORDINARY_ROLES:
            found.add(f"messages[].role={role}")
        found.update(f"messages[].{key}" for key in message if key not in ("role", "content"))
        _add_blocks(message.get("content"), found)


def _add_blocks(blocks: object, found: set[str]) -> None:
    """Content blocks, and those inside tool results and documents."""
    pending = list(_objects(blocks))
    while pending:
        block = pending.pop()
        found.update(_of_cache_control(block))
        source = block.get("source")
        if isinstance(source, dict):
            kind = source.get("type")
            if isinstance(kind, str) and kind != "content":
                found.add(f"source.type={kind}")
            pending.extend(_objects(source.get("content")))
        if block.get("type") in ("container_upload",):
            found.add("source.type=file")
        pending.extend(_objects(block.get("content")))


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield item
