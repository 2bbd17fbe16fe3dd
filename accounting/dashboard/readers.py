"""Who watches what over a websocket, in this process: one look a second at the database for all of them, while there are any."""

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from channels.db import database_sync_to_async
from django.db import Error

from accounting.dashboard.admission import Ticket, refused
from accounting.dashboard.tail import News, Tail
from gateway_project.telemetry import logger

log = logger(__name__)

MOST_SOCKETS = 500  # of one process
MOST_OF_A_PERSON = 12  # in one process: tabs
LOOK_SECONDS = 1.0
CHECK_SECONDS = 3.0  # between two looks at whether each reader still may
SEND_SECONDS = 10.0  # for a reader to take one short message
GONE, TOO_SLOW, TOO_MANY, BROKEN = 4404, 4408, 4429, 1011  # codes that a socket is closed with


class Full(Exception):
    """There are as many sockets as there may be."""


class Looking(Protocol):
    """What reads the news; see tail.Tail."""

    def look(self, teams: Sequence[str]) -> dict[str, News]: ...


@dataclass(eq=False, slots=True)
class Reader:
    """One socket. While a message is on its way, what comes in the meantime is added up into the next one."""

    ticket: Ticket
    send: Callable[[str], Awaitable[None]]
    close: Callable[[int], Awaitable[None]]
    waiting: News | None = None
    sending: "asyncio.Task[None] | None" = field(default=None, repr=False)

    def offer(self, news: News) -> None:
        before = self.waiting.count if self.waiting else 0
        self.waiting = News(before + news.count, news.newest)

    def take(self) -> str:
        """The message that waits, or ""."""
        news, self.waiting = self.waiting, None
        return json.dumps({"type": "requests", "count": news.count, "newest": news.newest}) if news else ""


class Readers:
    """The sockets of this process. It works only while there are some, and all of it in the one event loop."""

    def __init__(
        self,
        tail: Callable[[], Looking] = Tail,
        refused: Callable[[Collection[Ticket]], set[Ticket]] = refused,
        *,
        look_seconds: float = LOOK_SECONDS,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self._make_tail, self._refused = tail, refused
        self._look_seconds, self._send_seconds = look_seconds, send_seconds
        self._readers: set[Reader] = set()
        self._working: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()

    def __len__(self) -> int:
        return len(self._readers)

    async def begin(self) -> None:
        """Returns once it is sure that what comes from now on is told."""
        self._work_on()
        await self._looked.wait()

    def join(self, reader: Reader) -> None:
        """Raises Full."""
        own = sum(other.ticket.user == reader.ticket.user for other in self._readers)
        if len(self._readers) >= MOST_SOCKETS or own >= MOST_OF_A_PERSON:
            raise Full
        self._readers.add(reader)
        self._work_on()

    def leave(self, reader: Reader) -> None:
        """Of a reader that has left already, nothing."""
        self._readers.discard(reader)
        if reader.sending is not None:
            reader.sending.cancel()
        if not self._readers and self._working is not None:
            self._working.cancel()

    def _work_on(self) -> None:
        if self._working is None or self._working.cancelling() or self._working.done():
            self._looked = asyncio.Event()
            self._working = asyncio.create_task(self._work(self._looked))
            self._working.add_done_callback(self._ended)

    async def _work(self, looked: asyncio.Event) -> None:
        tail, loop = self._make_tail(), asyncio.get_running_loop()
        checked, away = loop.time(), False
        while True:
            try:
                await self._look(tail)
                if loop.time() - checked >= CHECK_SECONDS:
                    checked = loop.time()
                    await self._check()
                away = False
            except Error as error:
                if not away:
                    log.warning("live pages cannot read the database", error=str(error))
                away = True
            looked.set()
            await asyncio.sleep(self._look_seconds)
            if not self._readers:
                return

    def _ended(self, working: "asyncio.Task[None]") -> None:
        """By a mistake of ours, if it has an error: pages then connect again, instead of waiting for nothing."""
        if working.cancelled() or (error := working.exception()) is None:
            return
        log.error("live pages have stopped", exc_info=error)
        self._looked.set()
        for reader in list(self._readers):
            self._cut_off(reader, BROKEN)

    async def _look(self, tail: Looking) -> None:
        teams = sorted({reader.ticket.team_name for reader in self._readers})
        found = await database_sync_to_async(tail.look)(teams)
        for reader in self._readers:
            if news := found.get(reader.ticket.team_name):
                reader.offer(news)
                if reader.sending is None or reader.sending.done():
                    reader.sending = asyncio.create_task(self._send(reader))

    async def _check(self) -> None:
        gone = await database_sync_to_async(self._refused)({reader.ticket for reader in self._readers})
        for reader in [each for each in self._readers if each.ticket in gone]:
            self._cut_off(reader, GONE)

    async def _send(self, reader: Reader) -> None:
        try:
            while message := reader.take():
                await asyncio.wait_for(reader.send(message), self._send_seconds)
        except TimeoutError:
            reader.sending = None
            self._cut_off(reader, TOO_SLOW)
        except (OSError, RuntimeError):  # it has just left; its consumer hears of it as well
            reader.sending = None
            self.leave(reader)

    def _cut_off(self, reader: Reader, code: int) -> None:
        self.leave(reader)
        closing = asyncio.create_task(self._close(reader, code))
        reader.sending = closing  # kept, so that it is not lost before it is done

    async def _close(self, reader: Reader, code: int) -> None:
        try:
            await reader.close(code)
        except (OSError, RuntimeError):
            pass  # it has left by itself


@functools.cache
def readers() -> Readers:
    """Those of this process."""
    return Readers()
