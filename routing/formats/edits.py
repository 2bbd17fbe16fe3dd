"""Edits inside a Messages body: takes features out, moves some elsewhere. Pure.

Only what has to change is written anew. Every message, tool and block that an edit does not touch keeps the bytes that the
client wrote, because signatures and prompt caches depend on them.
"""

import json
from collections.abc import Callable

import msgspec

from routing.formats.base import Headers
from routing.formats.compat import Edits

Fields = dict[str, msgspec.Raw]
_Edit = Callable[[Fields], bool]

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])
_MOST_CACHE_POINTS = 4  # in one request; source: vendor documentation, 2026-08
_TIERS = (b'"priority"', b'"default"', b'"flex"', b'"reserved"')  # of Bedrock; source: its service model, 2026-11
_UNCACHEABLE = (b'"thinking"', b'"redacted_thinking"')


def top_level(body: bytes) -> Fields:
    """The fields of a JSON object with the bytes of their values. The body is known to be valid."""
    return _object.decode(body)


def edit_body(fields: Fields, edits: Edits) -> tuple[Headers, tuple[str, ...]]:
    """Changes `fields` as `edits` say. Returns the headers in which values travel on, and the features that it took out."""
    removed = list(edits.removed_fields)
    headers: Headers = []
    for feature, replacement in edits.moved:
        if replacement.startswith("header:"):
            name = replacement.removeprefix("header:").lower().encode()
            value = bytes(fields.pop(feature, msgspec.Raw(b"null")))
            if value in _TIERS:
                headers.append((name, value.strip(b'"')))
            else:
                removed.append(feature)
        elif replacement == "role:user":
            fields["messages"] = _without_system_turns(fields["messages"])
        elif replacement == "cache_control:last-block" and not _move_cache_control(fields):
            removed.append(feature)
    for feature in edits.removed_fields:
        _remove(fields, feature)
    return headers, tuple(removed)


def _remove(fields: Fields, feature: str) -> None:
    if feature in fields:
        del fields[feature]
    elif feature.startswith("cache_control."):
        _remove_from_cache_controls(fields, feature.removeprefix("cache_control."))
    elif feature.startswith("tools[].type="):
        _remove_tools(fields, feature.removeprefix("tools[].type="))
    elif feature.startswith(("messages[].", "tools[].")):
        name, _, key = feature.partition("[].")
        if name in fields:
            fields[name] = _each(fields[name], lambda item: item.pop(key, None) is not None)
    else:
        name, _, key = feature.partition(".")
        inner = _as_object(fields.get(name))
        if inner is not None and inner.pop(key, None) is not None:
            fields[name] = _raw(inner)
            if not inner:
                del fields[name]


def _remove_tools(fields: Fields, kind: str) -> None:
    """Takes the tools of one type out, and with the last of them `tools` and `tool_choice`."""
    tools = _as_array(fields.get("tools"))
    left = [tool for tool in tools if _type_of(tool) != kind]
    if left:
        fields["tools"] = _raw(left)
    else:
        fields.pop("tools", None)
        fields.pop("tool_choice", None)


def _remove_from_cache_controls(fields: Fields, key: str) -> None:
    def prune(item: Fields) -> bool:
        changed = False
        control = _as_object(item.get("cache_control"))
        if control is not None and control.pop(key, None) is not None:
            item["cache_control"] = _raw(control)
            changed = True
        for name in ("content", "source"):
            changed = _inside(item, name, prune) or changed
        return changed

    own = _as_object(fields.get("cache_control"))
    if own is not None and own.pop(key, None) is not None:
        fields["cache_control"] = _raw(own)
    for name in ("system", "tools", "messages"):
        if name in fields:
            fields[name] = _each(fields[name], prune)


def _inside(item: Fields, name: str, edit: _Edit) -> bool:
    """Runs `edit` over what is nested in `item[name]`: a list of objects, or one object with such a list."""
    value = item.get(name)
    if value is None or (b"cache_control" not in bytes(value) and b"\\u00" not in bytes(value)):
        return False
    before = bytes(value)
    one = _as_object(value)
    after = _each(value, edit) if one is None else (_raw(one) if edit(one) else value)
    item[name] = after
    return bytes(after) != before


def _without_system_turns(messages: msgspec.Raw) -> msgspec.Raw:
    """Puts the text of each system turn at the head of the next user turn, behind its tool results."""
    turns: list[msgspec.Raw] = []
    carried: list[msgspec.Raw] = []
    for raw in _as_array(messages):
        message = _as_object(raw)
        role = _text(message.get("role")) if message else ""
        if message is not None and role == "system":
            carried += _blocks(message.get("content"))
            continue
        if message is not None and carried and role == "user":
            message["content"] = _raw(_behind_results(carried, _blocks(message.get("content"))))
            raw, carried = _raw(message), []
        elif carried:
            turns.append(_user_turn(carried))
            carried = []
        turns.append(raw)
    if carried:
        turns.append(_user_turn(carried))
    return _raw(turns)


def _user_turn(blocks: list[msgspec.Raw]) -> msgspec.Raw:
    return _raw({"role": msgspec.Raw(b'"user"'), "content": _raw(blocks)})


def _behind_results(carried: list[msgspec.Raw], blocks: list[msgspec.Raw]) -> list[msgspec.Raw]:
    count = 0
    while count < len(blocks) and _type_of(blocks[count]) == "tool_result":
        count += 1
    return [*blocks[:count], *carried, *blocks[count:]]


def _blocks(content: msgspec.Raw | None) -> list[msgspec.Raw]:
    """A message's content as a list of blocks; a bare text becomes a text block."""
    if content is None or not bytes(content).lstrip().startswith(b'"'):
        return _as_array(content)
    return [msgspec.Raw(b'{"type":"text","text":' + bytes(content) + b"}")]


def _move_cache_control(fields: Fields) -> bool:
    """Sets the body's own `cache_control` on its last block; false if that block cannot have one, or none is left."""
    control = fields.pop("cache_control")
    points = sum(
        bytes(fields[name]).count(b'"cache_control"') for name in ("system", "tools", "messages") if name in fields
    )
    messages = _as_array(fields.get("messages"))
    last = _as_object(messages[-1]) if messages else None
    if last is None or points >= _MOST_CACHE_POINTS or _as_object(control) is None:
        return False
    blocks = _blocks(last.get("content"))
    block = _as_object(blocks[-1]) if blocks else None
    if block is None or "cache_control" in block or bytes(block.get("type", msgspec.Raw())) in _UNCACHEABLE:
        return False
    block["cache_control"] = control
    last["content"] = _raw([*blocks[:-1], _raw(block)])
    fields["messages"] = _raw([*messages[:-1], _raw(last)])
    return True


def _each(raw: msgspec.Raw, edit: _Edit) -> msgspec.Raw:
    """The list with `edit` run over each of its objects; the very same bytes if nothing changed."""
    items = _as_array(raw)
    changed = False
    for index, item in enumerate(items):
        value = _as_object(item)
        if value is not None and edit(value):
            items[index] = _raw(value)
            changed = True
    return _raw(items) if changed else raw


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _as_object(raw: msgspec.Raw | None) -> Fields | None:
    if raw is None or not bytes(raw).lstrip().startswith(b"{"):
        return None
    return _object.decode(raw)


def _as_array(raw: msgspec.Raw | None) -> list[msgspec.Raw]:
    if raw is None or not bytes(raw).lstrip().startswith(b"["):
        return []
    return _array.decode(raw)


def _type_of(raw: msgspec.Raw) -> str:
    value = _as_object(raw)
    return _text(value.get("type")) if value else ""


def _text(raw: msgspec.Raw | None) -> str:
    value = json.loads(bytes(raw)) if raw is not None else ""
    return value if isinstance(value, str) else ""
