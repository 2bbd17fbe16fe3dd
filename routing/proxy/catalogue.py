"""The names that a caller may ask for: `GET /v1/models`, and Bedrock's `GET /inference-profiles`.

Patterns are not listed; they have no end.
"""

from urllib.parse import parse_qs

import msgspec

from accounting.access.directory import allows
from accounting.access.grant import Grant
from routing.formats import bedrock
from routing.formats.anthropic import ModelRow, model_page
from routing.formats.base import BEDROCK, COUNT_TOKENS, Inbound
from routing.formats.faults import NotBridgeable
from routing.formats.names import foundation_model
from routing.proxy.errors import GatewayError, invalid
from routing.proxy.exchange import Exchange
from routing.snapshot import AliasConf, Snapshot


async def answer(exchange: Exchange, snapshot: Snapshot) -> None:
    """The list, or the one model that the path names. 404 for a model that the caller may not use."""
    grant = exchange.grant
    assert grant is not None
    exchange.entry.config_revision = snapshot.revision
    aliases = [alias for alias in snapshot.exact_aliases() if allows(grant, alias.name)]
    subject = exchange.call.subject
    exchange.entry.alias = subject[:300]
    if exchange.call.format == BEDROCK:
        body = _profile(subject, aliases) if subject else bedrock.profiles_body([_profile_of(each) for each in aliases])
    else:
        rows = [_row(alias) for alias in aliases]
        body = _one(subject, rows) if subject else _page(exchange.call.query, rows)
    await _send(exchange, body)


def may_use(grant: Grant, asked: str, alias: AliasConf) -> bool:
    """Whether a caller may ask for `alias` by this name: the name itself, or the exact name that it stands for (`x[1m]`
    for x, a foundation model for its profile), is allowed."""
    return allows(grant, asked) or ("*" not in alias.name and allows(grant, alias.name))


def foundation(snapshot: Snapshot, inbound: Inbound, grant: Grant) -> AliasConf | None:
    """The alias behind a foundation model's id: what a Bedrock client counts tokens by, as the profiles told it.

    Several aliases can stand on one foundation; those that the caller may use come first.
    """
    if inbound.format != BEDROCK or inbound.operation != COUNT_TOKENS:
        return None
    asked = inbound.model.rpartition("foundation-model/")[2]
    found = [alias for alias in snapshot.exact_aliases() if _foundation_of(alias) == asked]
    return next((alias for alias in found if allows(grant, alias.name)), found[0] if found else None)


def _profile(subject: str, aliases: list[AliasConf]) -> bytes:
    for alias in aliases:
        if alias.name in (subject, subject.rpartition("inference-profile/")[2]):
            return bedrock.profile_body(_profile_of(alias))
    raise GatewayError(404, "not_found_error", f"There is no inference profile {subject}.", "unknown_model")


def _profile_of(alias: AliasConf) -> dict[str, object]:
    return bedrock.profile_of(alias.name, _bedrock_id(alias))


def _bedrock_id(alias: AliasConf) -> str:
    """The id by which Bedrock serves the alias, if it does."""
    return next((target.model for target in alias.route.targets if target.provider.format == BEDROCK), "")


def _foundation_of(alias: AliasConf) -> str:
    try:
        return foundation_model(_bedrock_id(alias) or alias.name)
    except NotBridgeable:
        return alias.name


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
