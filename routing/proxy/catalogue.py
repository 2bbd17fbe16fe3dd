"""The names that a caller may ask for: `GET /v1/models`, and Bedrock's `GET /inference-profiles`.

Patterns are not listed, they have no end; nor are names that are retired and refused.
"""

import time
from urllib.parse import parse_qs

import msgspec

from routing.formats import bedrock
from routing.formats.anthropic import ModelRow, model_page
from routing.formats.base import BEDROCK
from routing.naming import bedrock_id, listed_aliases
from routing.proxy.errors import GatewayError, invalid
from routing.proxy.exchange import Exchange
from routing.snapshot import AliasConf, Snapshot


async def answer(exchange: Exchange, snapshot: Snapshot) -> None:
    """The list, or the one model that the path names. 404 for a model that the caller may not use."""
    grant = exchange.grant
    assert grant is not None
    exchange.entry.config_revision = snapshot.revision
    now = time.time()
    aliases = listed_aliases(snapshot, grant, now)
    subject = exchange.call.subject
    exchange.entry.alias = subject[:300]
    exchange.notices = next((each.notices(now) for each in aliases if each.name == subject), [])
    if exchange.call.format == BEDROCK:
        body = _profile(subject, aliases) if subject else bedrock.profiles_body([_profile_of(each) for each in aliases])
    else:
        rows = [_row(alias) for alias in aliases]
        body = _one(subject, rows) if subject else _page(exchange.call.query, rows)
    await _send(exchange, body)


def _profile(subject: str, aliases: list[AliasConf]) -> bytes:
    for alias in aliases:
        if alias.name in (subject, subject.rpartition("inference-profile/")[2]):
            return bedrock.profile_body(_profile_of(alias))
    raise GatewayError(404, "not_found_error", f"There is no inference profile {subject}.", "unknown_model")


def _profile_of(alias: AliasConf) -> dict[str, object]:
    return bedrock.profile_of(alias.name, bedrock_id(alias))


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
        *exchange.id_headers(),
    ]
    await exchange.reply.start(200, headers)
    await exchange.reply.send(body, more=False)
