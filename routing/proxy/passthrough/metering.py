"""Puts the usage of each batch on record once: when its results first pass, or else soon after it was seen to have ended.

One record for each model that the batch has used, because prices are per model: operation `batches`, reason
`batch_results`, the tokens the sums over all its calls, each priced by itself and at the price of batches. It
belongs to whoever made the batch, whoever fetches the results. Its id is made from the batch's and the model's, so that it
is stored once, however many processes come to it and however often: what is recorded before the row of ownership says so
is recorded again after a crash, and then passed over.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import httpx

from accounting.money.entry import Entry, Line
from accounting.money.price_book import BATCH
from accounting.money.pricing import merged
from accounting.money.usage import Usage
from gateway_project.jobs import JobLog
from gateway_project.telemetry import logger
from routing.formats.anthropic import DEFAULT_VERSION
from routing.formats.base import BATCHES, Outbound
from routing.formats.batch_results import ResultsMeter
from routing.proxy.billing import Billing, fill
from routing.proxy.passthrough import store
from routing.proxy.passthrough.calls import chunks
from routing.proxy.passthrough.ledger import Ledger, Unavailable
from routing.proxy.passthrough.owners import Owned, Owners
from routing.proxy.upstream import Fault, UpstreamClient
from routing.targets import ProviderConf

REASON = "batch_results"
DELAY = 2.0  # seconds that a client gets to fetch the results itself, as SDKs do
REST = 60.0  # seconds after a failure
AT_ONCE = 2  # results that are read at a time
MOST_WAITING = 1000
FAILURES = (Fault, httpx.TransportError, TimeoutError)

log = logger(__name__)


@dataclass(slots=True)
class _Readers:
    """Clients that are fetching the results of one batch."""

    count: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Metering:
    """One per process, used by its loop alone. `keep` takes finished records."""

    def __init__(
        self,
        upstreams: UpstreamClient,
        keep: Callable[[Entry], None],
        owners: Owners,
        ledger: Ledger,
        billing: Billing,
        jobs: JobLog,
    ) -> None:
        self._jobs = jobs
        self._upstreams = upstreams
        self._billing = billing
        self._keep = keep
        self._owners = owners
        self._ledger = ledger
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._readers: dict[str, _Readers] = {}
        self._rests: dict[str, float] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)

    def reading(self, batch: Owned) -> None:
        """A client has begun to fetch the results; `read_out` follows, whatever became of it."""
        self._readers.setdefault(batch.id, _Readers()).count += 1

    def read_out(self, batch: Owned) -> None:
        readers = self._readers[batch.id]
        readers.count -= 1
        if not readers.count:
            del self._readers[batch.id]
            readers.gone.set()

    def meter(self, batch: Owned, provider: ProviderConf) -> "PricedResults":
        """What reads the results of a batch as they pass."""
        return PricedResults(self._billing, batch, provider)

    def settle(self, batch: Owned, meter: "PricedResults") -> None:
        """The whole results have passed: their usage is on record when this returns."""
        if (self._owners.find(batch.kind, batch.id) or batch).priced:
            return
        for entry in meter.entries():
            self._keep(entry)
        self._owners.put([replace(batch, ended=True, priced=True)])
        self._ledger.later(store.price, batch.row)

    def ended(self, batch: Owned, provider: ProviderConf) -> None:
        """The batch was seen to have ended: its results are read soon, if nobody does it before."""
        resting = self._rests.get(batch.id, 0.0) > time.monotonic()
        if batch.priced or batch.id in self._tasks or resting or len(self._tasks) >= MOST_WAITING:
            return
        if not batch.ended:
            self._owners.put([replace(batch, ended=True)])
            self._ledger.later(store.end, batch.row)
        task = asyncio.get_running_loop().create_task(self._soon(batch, provider))
        self._tasks[batch.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(batch.id, None))

    async def read(self, batch: Owned, provider: ProviderConf) -> None:
        """Reads the results and puts their usage on record. Raises one of `FAILURES`."""
        headers = [(b"anthropic-version", DEFAULT_VERSION.encode()), (b"accept-encoding", b"identity")]
        request = Outbound(results_path(batch.id), headers, b"", method="GET", opaque=True)
        answer = await self._upstreams.open(provider, request)
        meter = self.meter(batch, provider)
        try:
            async for chunk in chunks(answer, provider.idle_timeout):
                meter.feed(chunk)
        finally:
            await answer.close()
        self.settle(batch, meter)

    async def _soon(self, batch: Owned, provider: ProviderConf) -> None:
        await asyncio.sleep(DELAY)
        while readers := self._readers.get(batch.id):
            await readers.gone.wait()
        async with self._turn:
            try:
                if not await self._is_priced(batch):
                    await self.read(batch, provider)
                self._jobs.done("batches")
            except FAILURES as error:
                self._rest(batch.id)
                self._jobs.failed("batches", f"{provider.name}: {error}")
                log.warning("the results of a batch cannot be read yet", batch=batch.id, error=str(error)[:300])

    async def _is_priced(self, batch: Owned) -> bool:
        if (self._owners.find(batch.kind, batch.id) or batch).priced:
            return True
        try:
            return await self._ledger.do(store.is_priced, batch.row)
        except Unavailable:
            return False

    def _rest(self, id_: str) -> None:
        now = time.monotonic()
        if len(self._rests) >= MOST_WAITING:
            self._rests = {known: until for known, until in self._rests.items() if until > now}
        self._rests[id_] = now + REST

    async def close(self) -> None:
        """Leaves what is not read yet to the next process: it finds the batches that have ended."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2)


def results_path(id_: str) -> str:
    return f"/v1/messages/batches/{id_}/results"


class PricedResults:
    """The results of a batch as they pass: each call is priced by itself, and what has the same price is added up."""

    def __init__(self, billing: Billing, batch: Owned, provider: ProviderConf) -> None:
        self._billing = billing
        self._batch = batch
        self._provider = provider
        self._at = time.time()
        self._lines: dict[str, list[Line]] = {}
        self._meter = ResultsMeter(None if batch.priced else self._called)

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes. Never raises, whatever they are."""
        self._meter.feed(chunk)

    def entries(self) -> list[Entry]:
        """The records of the whole results, one for each model."""
        self._meter.finish()
        return [self._entry(model, lines) for model, lines in sorted(self._lines.items())]

    def _called(self, model: str, usage: Usage) -> None:
        usage.service_tier = BATCH
        name = self._batch.provider
        lines = self._billing.lines(usage, name, model, self._at, self._provider)
        self._lines[model] = merged([*self._lines.get(model, []), *lines])

    def _entry(self, model: str, lines: list[Line]) -> Entry:
        batch, names = self._batch, self._batch.aliases
        entry = Entry(
            request_id=record_id(batch.provider, batch.id, model),
            started_at=self._at,
            operation=BATCHES,
            team=batch.team,
            project=batch.project,
            key=batch.key,
            key_prefix=batch.key_prefix,
            user=batch.user,
            alias=names.get(model) or (next(iter(names.values())) if len(names) == 1 else ""),
            provider=batch.provider,
            upstream_model=model[:300],
            upstream_request_id=batch.id,
            status=200,
            outcome="served",
            reason=REASON,
            estimated=self._meter.doubtful or any(line.estimated for line in lines),
        )
        fill(entry, lines)
        return entry


def record_id(provider: str, id_: str, model: str) -> str:
    """The id of the record of what a batch has used of one model: the same wherever and whenever it is made."""
    text = "\0".join((provider, id_, model))
    return "batch_" + hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
