"""The parent of several server processes: one listening socket, N workers, none lost.

Workers are fresh processes that inherit the socket. Each has a link to the parent (a socket pair): the worker says when
it serves, the parent says when to drain, and a worker whose parent is gone drains by itself.

- A worker that dies is replaced, after a pause that doubles while deaths follow each other.
- SIGHUP replaces all of them: the new ones serve before the old ones drain. If one of the new ones cannot start, the
  old ones stay.
- SIGTERM or SIGINT drains all and ends; a second one ends what still runs.
"""

import asyncio
import signal
import socket
from dataclasses import dataclass, field

from gateway_project.telemetry import logger
from routing.serving import DRAIN, HAND_OVER, LEAVE, url_of

log = logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
STEADY_SECONDS = 60  # a worker that lived this long was sound; the next death starts from the first pause again
GRACE_SECONDS = 20  # beyond the draining, before a worker that does not end is killed


@dataclass(eq=False, slots=True)
class Worker:
    """One child. `ready` becomes true when it serves, false when it ended before; a `leaving` one is not replaced."""

    process: asyncio.subprocess.Process
    link: socket.socket
    started: float
    ready: asyncio.Future[bool]
    leaving: bool = False

    def order(self, what: bytes) -> None:
        self.leaving = True
        try:
            self.link.send(what)
        except OSError:
            pass  # it has just ended; its watcher sees that


@dataclass(slots=True)
class Supervisor:
    """`command` starts one worker; the descriptors of the listener and the link are appended to it."""

    command: list[str]
    count: int
    listener: socket.socket
    drain_seconds: float
    _workers: set[Worker] = field(default_factory=set)
    _watchers: set[asyncio.Task[None]] = field(default_factory=set)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _pause: float = FIRST_PAUSE
    _served: bool = False
    _rolling: bool = False

    async def run(self) -> int:
        """Serves until told to stop; the exit status: 0, or 1 if no worker could ever start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._told_to_roll)
        await self._fill()
        self._watch_over(self._announce(list(self._workers)))
        await self._stop.wait()
        self.listener.close()
        for worker in self._workers:
            worker.order(DRAIN)
        await self._wait_for_all()
        return 0 if self._served else 1

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            for worker in self._workers:
                worker.order(LEAVE)
        self._stop.set()

    def _told_to_roll(self) -> None:
        if not self._stop.is_set() and not self._rolling:
            self._rolling = True
            self._watch_over(self._roll())

    def _watch_over(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)

    def _staying(self) -> list[Worker]:
        return [worker for worker in self._workers if not worker.leaving]

    async def _fill(self) -> None:
        while len(self._staying()) < self.count and not self._stop.is_set():
            await self._start_worker()

    async def _announce(self, workers: list[Worker]) -> None:
        if all(await asyncio.gather(*(worker.ready for worker in workers))) and not self._stop.is_set():
            log.info("serving", address=url_of(self.listener), workers=self.count)

    async def _start_worker(self) -> Worker:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        passed = (self.listener.fileno(), theirs.fileno())
        numbers = ["--listen-fd", str(passed[0]), "--link-fd", str(passed[1])]
        with theirs:
            # Its own session: Ctrl-C at a terminal reaches the parent alone, which then tells the workers once.
            process = await asyncio.create_subprocess_exec(
                *self.command, *numbers, pass_fds=passed, start_new_session=True
            )
        worker = Worker(process, ours, loop.time(), loop.create_future())
        self._workers.add(worker)
        loop.add_reader(ours, self._hear, worker)
        self._watch_over(self._watch(worker))
        return worker

    def _hear(self, worker: Worker) -> None:
        asyncio.get_running_loop().remove_reader(worker.link)
        try:
            said = worker.link.recv(1)
        except OSError:
            said = b""
        self._served = self._served or bool(said)
        if not worker.ready.done():
            worker.ready.set_result(bool(said))

    async def _watch(self, worker: Worker) -> None:
        """Waits for a worker's end, and replaces it unless it was told to leave."""
        loop = asyncio.get_running_loop()
        status = await worker.process.wait()
        loop.remove_reader(worker.link)
        worker.link.close()
        if not worker.ready.done():
            worker.ready.set_result(False)
        self._workers.discard(worker)
        if worker.leaving or self._stop.is_set():
            return
        log.error("worker ended", pid=worker.process.pid, status=status)
        if not self._served:
            self._stop.set()  # the very first ones cannot start: what stops them would stop the next as well
            return
        await self._rest(loop.time() - worker.started)
        await self._fill()

    async def _rest(self, lived: float) -> None:
        pause = FIRST_PAUSE if lived > STEADY_SECONDS else self._pause
        self._pause = min(pause * 2, LONGEST_PAUSE)
        try:
            await asyncio.wait_for(self._stop.wait(), pause)
        except TimeoutError:
            return

    async def _roll(self) -> None:
        """Starts as many new workers as there should be; when all of them serve, the old ones drain."""
        old = self._staying()
        log.info("replacing workers", workers=self.count)
        new = [await self._start_worker() for _ in range(self.count)]
        good = all(await asyncio.gather(*(worker.ready for worker in new)))
        if not good:
            log.error("new workers cannot start; the old ones stay")
        for worker in old if good else new:
            worker.order(HAND_OVER)
        self._rolling = False
        if good:
            log.info("workers replaced", workers=self.count)
        await self._fill()

    async def _wait_for_all(self) -> None:
        """Until every worker has ended; one that does not in time is killed."""
        waiting = [asyncio.ensure_future(worker.process.wait()) for worker in self._workers]
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=self.drain_seconds + GRACE_SECONDS)
        if late:
            for worker in self._workers:
                if worker.process.returncode is None:
                    worker.process.kill()
            await asyncio.wait(late)
