"""What one turn of the event loop has to send goes out together, at its end.

Who is sent something is woken, which costs the sender more than the sending (a fifth of a small request's CPU time, two
virtual cores, 2026-11-25); sent one after the other with other work between, each finds its reader asleep again. A lone
piece goes out at once: whether pieces come alone is seen from how many the last turns had.
"""

import asyncio
from collections.abc import Sequence
from weakref import WeakKeyDictionary

TOGETHER = 3  # connections; if a turn had fewer, waiting for its end was not worth it
ALONE = 64  # pieces that then go out at once, before it is tried again
MOST_HELD = 16  # connections that wait for the end of a turn, which may be long
HELD_BYTES = 128 * 1024  # of one connection; more goes out at once
MOST_BYTES = 1024 * 1024  # of all connections, roughly
Data = bytes | memoryview


class Outbox:
    """One of an event loop. `holding`: something waits to be sent; then `send` it before more is read."""

    __slots__ = ("_at_once", "_bytes", "_due", "_outlets", "_sent", "holding")

    def __init__(self) -> None:
        self._outlets: list[Outlet] = []
        self._bytes = self._at_once = 0
        self._sent = 0  # connections of this turn
        self._due = False
        self.holding = False

    def holds(self, size: int) -> bool:
        """Whether a piece of so many bytes is to be held."""
        if self._at_once:
            self._at_once -= 1
            return False
        return size <= HELD_BYTES

    def add(self, outlet: "Outlet", size: int) -> None:
        self.holding = True
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._turn_over)
        self._outlets.append(outlet)
        self._bytes += size
        if len(self._outlets) >= MOST_HELD or self._bytes >= MOST_BYTES:
            self.send()

    def send(self) -> None:
        """Sends all that is held."""
        outlets, self._outlets = self._outlets, []
        self._bytes = 0
        self.holding = False
        self._sent += len(outlets)
        for outlet in outlets:
            try:
                outlet.send()
            except Exception as error:  # noqa: BLE001 - one that has just ended must not keep the others waiting
                context = {"message": "a connection cannot be written to", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    def _turn_over(self) -> None:
        self._due = False
        self.send()
        if self._sent < TOGETHER:
            self._at_once = ALONE
        self._sent = 0


class Outlet:
    """A transport that may hold what is written until the end of the turn. Order and ends are kept: what was written before
    `close` is sent, and what was not sent at an `abort` never is. While nothing is `held`, `write_at_once` may be used.
    `transport` is what it stands before."""

    __slots__ = (
        "_size", "get_extra_info", "held", "is_closing", "outbox", "pause_reading", "resume_reading", "transport",
        "write_at_once",
    )  # fmt: skip

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        self.outbox = outbox
        self.transport = transport
        self.write_at_once = transport.write
        self.held: list[Data] | None = None
        self._size = 0  # bytes that are held
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: Data) -> None:
        size = len(data)
        if self.held is not None:
            self.held.append(data)
            self._more(size)
        elif self.outbox.holds(size):
            self.held = [data]
            self._size = size
            self.outbox.add(self, size)
        else:
            self.write_at_once(data)

    def writelines(self, pieces: Sequence[Data]) -> None:
        size = sum(map(len, pieces))
        if self.held is not None:
            self.held += pieces
            self._more(size)
        elif self.outbox.holds(size):
            self.held = list(pieces)
            self._size = size
            self.outbox.add(self, size)
        else:
            self.transport.writelines(pieces)

    def _more(self, size: int) -> None:
        """Only the transport itself says that the other side does not read: it has to be given what grows."""
        self._size += size
        if self._size > HELD_BYTES:
            self.send()

    def send(self) -> None:
        """Sends what is held, if the connection is still there."""
        held, self.held = self.held, None
        if held is None or self.is_closing():
            return
        if len(held) == 1:
            self.write_at_once(held[0])
        else:
            self.transport.writelines(held)

    def get_write_buffer_size(self) -> int:
        return self.transport.get_write_buffer_size() + (self._size if self.held is not None else 0)

    def write_eof(self) -> None:
        self.send()
        self.transport.write_eof()

    def close(self) -> None:
        self.send()
        self.transport.close()

    def abort(self) -> None:
        self.held = None
        self.transport.abort()


_outboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox] = WeakKeyDictionary()


def outbox_of(loop: asyncio.AbstractEventLoop) -> Outbox:
    """The outbox of an event loop."""
    found = _outboxes.get(loop)
    if found is None:
        found = _outboxes[loop] = Outbox()
    return found
