"""`/ws/teams/<team>/`: tells the pages of a team that something has happened, so that they ask for it.

A message is `{"type": "requests", "count": 3, "newest": 4711}`: three requests since the last one. It holds nothing of the
requests themselves. Whoever may not watch is closed with 4404, whoever has too many sockets with 4429.
"""

# channels has no types
# mypy: disable-error-code="misc, no-untyped-call"

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error

from accounting.dashboard.admission import admitted
from accounting.dashboard.readers import GONE, TOO_MANY, Full, Reader, readers
from gateway_project.telemetry import logger

log = logger(__name__)


class TeamEvents(AsyncWebsocketConsumer):
    """One socket, from its handshake to its end. What a page says is not heard."""

    reader: Reader | None = None

    async def connect(self) -> None:
        """Accepts in any case: a page cannot see why a handshake is refused."""
        team = self.scope["url_route"]["kwargs"]["team"]
        ticket = await database_sync_to_async(admitted)(self.scope["user"], self.scope["session"], team)
        if ticket is None:
            await self._turn_away(GONE)
            return
        await readers().begin()
        await self.accept()
        reader = Reader(ticket, self.send, self.close)
        try:
            readers().join(reader)
        except Full:
            await self.close(TOO_MANY)
        else:
            self.reader = reader

    async def _turn_away(self, code: int) -> None:
        await self.accept()
        await self.close(code)

    async def disconnect(self, code: Any) -> None:
        if self.reader is not None:
            readers().leave(self.reader)


def refused_without_database(application: Any) -> Any:
    """The same application; while the database is away its handshakes are refused, and pages try again later."""

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            await application(scope, receive, send)
        except Error as error:
            log.warning("no websocket without the database", error=str(error))
            await send({"type": "websocket.close"})

    return answer
