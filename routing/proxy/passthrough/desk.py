"""What the handlers of batches and files share: who owns what, and how a new thing gets its owner."""

import asyncio
import re
from dataclasses import dataclass

from accounting.access.grant import Grant
from accounting.money.recorder import Recorder
from gateway_project.telemetry import logger
from routing.formats.base import Outbound
from routing.formats.batch import shown
from routing.models import KeptUpstream
from routing.proxy.errors import GatewayError, upstream_failed
from routing.proxy.exchange import Exchange
from routing.proxy.passthrough import store
from routing.proxy.passthrough.calls import ask, outbound, reply_whole, whole
from routing.proxy.passthrough.ledger import AlreadyOwned, Ledger, Unavailable
from routing.proxy.passthrough.metering import Metering
from routing.proxy.passthrough.owners import Owned, Owners
from routing.proxy.passthrough.store import Claim, owned_by
from routing.proxy.upstream import Answer, Fault, UpstreamClient
from routing.snapshot import Snapshot
from routing.targets import ProviderConf

BATCH, FILE = KeptUpstream.Kind.BATCH.value, KeptUpstream.Kind.FILE.value
ROOTS = {BATCH: "/v1/messages/batches", FILE: "/v1/files"}
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}\Z")
_PAUSES = (0.2, 1.0)  # seconds between the tries to write whose a new thing is

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """One per process."""

    upstreams: UpstreamClient
    recorder: Recorder
    owners: Owners
    ledger: Ledger
    metering: Metering
    public_url: str  # of this gateway; empty: the address that a request came to

    async def owned(self, kind: str, id_: str, grant: Grant) -> Owned:
        """The caller's own thing of this id; 404 for anybody else's, in the same words as for none."""
        found = self.owners.find(kind, id_)
        if found is None and not self.owners.complete and _ID.match(id_):
            try:
                found = await self.ledger.do(store.find, kind, id_)
            except Unavailable:
                raise _away("The gateway cannot look up old batches and files at the moment.") from None
        if found is None or found.team != grant.team:
            raise GatewayError(404, "not_found_error", "Not found", f"unknown_{kind}")
        return found

    async def pass_on(self, exchange: Exchange, owned: Owned, snapshot: Snapshot, request: Outbound) -> Answer:
        """The keeper's answer to a request about a thing. Raises `Fault`, and 503 if the keeper is not reachable."""
        provider = keeper(owned, snapshot)
        self.recorder.opened(exchange.entry)
        return await ask(exchange, self.upstreams, provider, request)

    async def make(
        self, exchange: Exchange, provider: ProviderConf, request: Outbound, claim: Claim, model: str = ""
    ) -> tuple[Answer, bytes, Owned]:
        """Has something new kept, and durably noted whose it is. Nothing is sent while that could not be noted."""
        exchange.drains = True
        try:
            row = await self.ledger.do(store.begin, claim)
        except Unavailable:
            raise _away("The gateway cannot note whose this would be at the moment; nothing was sent.") from None
        self.recorder.opened(exchange.entry)
        try:
            answer = await ask(exchange, self.upstreams, provider, request, model)
        except Fault:
            self.ledger.later(store.forget, row)
            raise
        body = await whole(answer, provider)
        id_ = shown(body).id
        if not _ID.match(id_):
            raise upstream_failed("The upstream's answer was not one of its API.", "upstream_answer")
        owned = owned_by(claim, row, id_)
        await self._name(exchange, owned, provider)
        self.owners.put([owned])
        return answer, body, owned

    async def _name(self, exchange: Exchange, owned: Owned, provider: ProviderConf) -> None:
        """Writes the id. If the database does not come back, what was made is undone: nobody could reach it."""
        for pause in (*_PAUSES, None):
            try:
                await self.ledger.do(store.name, owned.row, owned.id)
                return
            except AlreadyOwned:
                raise upstream_failed("The upstream has given an id twice.", "upstream_answer") from None
            except Unavailable:
                if pause is not None:
                    await asyncio.sleep(pause)
        log.error("whose a new thing is cannot be written; it is undone", kind=owned.kind, id=owned.id)
        path = f"{ROOTS[owned.kind]}/{owned.id}"
        undo = (
            outbound(exchange, "POST", path + "/cancel") if owned.kind == BATCH else outbound(exchange, "DELETE", path)
        )
        try:
            await whole(await ask(exchange, self.upstreams, provider, undo), provider)
        except (Fault, GatewayError) as error:
            log.error("it could not be undone", kind=owned.kind, id=owned.id, error=str(error)[:300])
        raise _away("The gateway could not note whose this is, and has undone it.")

    async def gone(self, exchange: Exchange, owned: Owned, answer: Answer, provider: ProviderConf) -> None:
        """The keeper has deleted it."""
        body = await whole(answer, provider)
        self.owners.remove(owned.kind, [owned.id])
        self.ledger.later(store.delete, owned.row)
        await reply_whole(exchange, answer, body)


def claim_of(kind: str, provider: ProviderConf, grant: Grant, aliases: dict[str, str] | None = None) -> Claim:
    """A claim of the caller's."""
    return Claim(
        kind=kind,
        provider=provider.name,
        team=grant.team,
        project=grant.project,
        key=grant.key,
        key_prefix=grant.key_prefix,
        user=grant.user,
        aliases=aliases or {},
    )


def keeper(owned: Owned, snapshot: Snapshot) -> ProviderConf:
    """The provider that keeps it; 503 while it is switched off or has no credential."""
    provider = snapshot.providers.get(owned.provider)
    if provider is None:
        raise upstream_failed("The provider that keeps this is not in service.", "provider_gone", status=503)
    return provider


def _away(text: str) -> GatewayError:
    return GatewayError(503, "api_error", f"{text} Try again shortly.", "ownership_unavailable", retry_after=5)
