"""`GET /v1/models`: the names that a caller may ask for. Patterns are not listed; they have no end."""

from urllib.parse import parse_qs

import msgspec

from accounting.access.directory import allows
from routing.formats.anthropic import ModelRow, model_page
from routing.proxy.errors import GatewayError, invalid
from routing.proxy.exchange import Exchange
from routing.snapshot import AliasConf, Snapshot


async def answer(exchange: Exchange, snapshot: Snapshot) -> None:
    """The list, or the one model that the path names. 404 for a model that the caller may not use."""
    grant = exchange.grant
    assert grant is not None
    exchange.entry.config_revision = snapshot.revision
    rows = [_row(alias) for alias in snapshot.exact_aliases() if allows(grant, alias.name)]
    if exchange.call.subject:
        exchange.entry.alias = exchange.call.subject[:300]
        body = _one(exchange.call.subject, rows)
    else:
        body = _page(exchange.call.query, rows)
    await _send(exchange, body)


def _row(alias: AliasConf) -> ModelRow:
    return ModelRow(id=alias.name, display_name=alias.display_name or alias.name, created_at=alias.created_at)


def _one(name: str, rows: list[ModelRow]) -> bytes:
    for row in rows:
        if row.id == name:
            return msgspec.json.encode(row)
    raise GatewayError(404, "not_found_error", f"model: {name} is not among the models of this key.", "unknown_model")


def _page(query: bytes, rows: list[ModelRow]) -> bytes:
    fields = parse_qs(query.decode("latin-1"), max_num_fields=50)
    text = fields.get("limit", ["20"])[0]
    if not text.isdigit() or not 1 <= int(text[:9]) <= 1000:
        raise invalid("limit: must be a whole number from 1 to 1000", "bad_query")
    return model_page(rows, int(text), fields.get("after_id", [""])[0], fields.get("before_id", [""])[0])


async def _send(exchange: Exchange, body: bytes) -> None:
    exchange.record("served", 200)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"request-id", exchange.request_id.encode()),
    ]
    await exchange.reply.start(200, headers)
    await exchange.reply.send(body, more=False)
