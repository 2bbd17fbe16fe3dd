"""The door of the room: which handler a request is for."""

import asyncio

from accounting.money.recorder import Recorder
from gateway_project.jobs import JobLog
from routing.formats.base import BATCHES, header
from routing.proxy.billing import Billing
from routing.proxy.exchange import Cause, Exchange
from routing.proxy.passthrough import batches, files
from routing.proxy.passthrough.desk import Desk
from routing.proxy.passthrough.ledger import Ledger
from routing.proxy.passthrough.metering import Metering
from routing.proxy.passthrough.owners import Owners
from routing.proxy.upstream import UpstreamClient
from routing.snapshot import Snapshot

_READ = {
    (BATCHES, "list", "GET"): batches.page,
    (BATCHES, "one", "GET"): batches.one,
    (BATCHES, "one", "DELETE"): batches.delete,
    (BATCHES, "results", "GET"): batches.results,
    ("files", "list", "GET"): files.page,
    ("files", "one", "GET"): files.one,
    ("files", "one", "DELETE"): files.delete,
    ("files", "content", "GET"): files.download,
}
_WRITE = {
    (BATCHES, "list", "POST"): batches.create,
    (BATCHES, "cancel", "POST"): batches.cancel,
    ("files", "list", "POST"): files.upload,
}


class PassThrough:
    """Batches and files of one process. `owners` is kept fresh by whoever watches the database."""

    def __init__(
        self,
        upstreams: UpstreamClient,
        recorder: Recorder,
        public_url: str,
        billing: Billing,
        jobs: JobLog | None = None,
    ) -> None:
        self.owners = Owners()
        ledger = Ledger()
        metering = Metering(upstreams, recorder.finished, self.owners, ledger, billing, jobs or JobLog())
        self._desk = Desk(upstreams, recorder, self.owners, ledger, metering, public_url)

    async def serve(self, exchange: Exchange, snapshot: Snapshot) -> None:
        """One request, authenticated, to its record. Raises `GatewayError` and `Fault`."""
        call, entry, grant = exchange.call, exchange.entry, exchange.grant
        assert grant is not None
        entry.config_revision = snapshot.revision
        entry.agent_id = header(call.headers, b"x-claude-code-agent-id").decode("latin-1")[:200]
        body = await call.read_body()
        exchange.size = len(body)
        handled = (call.operation, call.action, call.method)
        try:
            if handled in _READ:
                await _READ[handled](self._desk, exchange, snapshot, grant)
            else:
                await _WRITE[handled](self._desk, exchange, snapshot, grant, body)
        except asyncio.CancelledError:
            # Recorded here, because there is nothing to estimate: these requests use no tokens themselves.
            if exchange.cause is Cause.CLIENT_LEFT:
                exchange.record("client_left", 499)
            elif exchange.cause is not None:
                exchange.record("shut_down", 503)
            raise

    def resume(self, snapshot: Snapshot) -> None:
        """Takes up what an earlier process has left: batches that have ended and whose usage is not on record."""
        for batch in self.owners.unpriced():
            provider = snapshot.providers.get(batch.provider)
            if provider is not None:
                self._desk.metering.ended(batch, provider)

    async def close(self) -> None:
        await self._desk.metering.close()
        await self._desk.ledger.close()
