"""What the JSON of single stream events says, and Amazon's names for token counts. Pure."""

from typing import Any

import msgspec

from accounting.money.usage import Usage
from routing.formats.base import Event

METRICS = "amazon-bedrock-invocationMetrics"
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def counts(usage: Usage) -> dict[str, int]:
    """Token counts by the names that Amazon gives them; those of the input leave the cache out."""
    return {
        "inputTokenCount": usage.input,
        "outputTokenCount": usage.output,
        "cacheReadInputTokenCount": usage.cache_read,
        "cacheWriteInputTokenCount": usage.cache_write_5m + usage.cache_write_1h,
    }


class _Said(msgspec.Struct):
    type: Any = ""
    message: Any = ""


class _Error(msgspec.Struct):
    error: _Said


class _Inner(msgspec.Struct):
    usage: Any = None


class _Reported(msgspec.Struct):
    usage: Any = None
    message: _Inner | None = None


def is_error(event: Event) -> bool:
    """An error event; Google's platform sends one without a name and without a type."""
    return event.type == "error" or (not event.type and b'"error"' in event.data[:64])


def said(data: bytes) -> tuple[str, str]:
    """Type and text of an error event."""
    try:
        said = msgspec.json.decode(data, type=_Error).error
    except _UNREADABLE:
        return "api_error", ""
    return said.type if isinstance(said.type, str) and said.type else "api_error", str(said.message or "")


def usage_of(data: bytes) -> object:
    """The `usage` object that an event reports, undisturbed by its shape; nothing if it reports none."""
    try:
        reported = msgspec.json.decode(data, type=_Reported)
    except _UNREADABLE:
        return None
    return reported.message.usage if reported.message is not None else reported.usage


def fields_of(data: bytes) -> dict[str, msgspec.Raw] | None:
    """The fields of an event's JSON, undecoded; nothing if it is no object."""
    try:
        return msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except _UNREADABLE:
        return None


def without_metrics(event: Event) -> Event:
    """The event without what Amazon adds to the last one."""
    if METRICS.encode() not in event.data:
        return event
    fields = fields_of(event.data)
    if fields is None or fields.pop(METRICS, None) is None:
        return event
    return Event(event.type, msgspec.json.encode(fields))
