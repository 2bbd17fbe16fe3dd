"""The fake provider itself: an event loop in a thread, its scripts, and everything it saw."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tests.fake_provider import anthropic
from tests.fake_provider.answers import Answer, error, reply
from tests.fake_provider.connection import Connection
from tests.fake_provider.received import Received
from tests.fake_provider.rules import Expected, anthropic_violations, http_violations

Behaviour = Callable[[Received], Answer]


def model_in_body(request: Received) -> str:
    """The model of a request that names it in its body; empty when it does not."""
    if not request.body:
        return ""
    found = json.loads(request.body).get("model", "")
    return found if isinstance(found, str) else ""


class FakeProvider:
    """`with FakeProvider() as provider:` serves on `provider.url` until the block ends.

    `script` queues answers for the next requests (for one model's, if it is named); `on_model` answers every request
    for a model; otherwise `respond` does, by default the Messages API's own behaviour. A request that breaks a rule
    gets 500 and a line in `violations`, whatever was scripted.
    """

    def __init__(
        self,
        *,
        expected: Expected | None = None,
        respond: Behaviour = anthropic.respond,
        rules: Callable[[Received], Any] = anthropic_violations,
        model_of: Callable[[Received], str] = model_in_body,
        port: int = 0,
    ) -> None:
        self.expected = expected or Expected()
        self.respond = respond
        self.rules = rules
        self.model_of = model_of
        self.port = port
        self.received: list[Received] = []
        self.violations: list[str] = []
        self.books: dict[str, dict[str, Any]] = {}
        self._arrival = threading.Condition()
        self._queues: dict[str | None, list[Answer]] = {}
        self._models: dict[str, Behaviour] = {}
        self._connections: set[Connection] = set()
        self._count = self._opened = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.expected.prefix}"

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def script(self, *answers: Answer, model: str | None = None) -> None:
        """Answers for the next requests, in order; those for a named model are taken first."""
        with self._arrival:
            self._queues.setdefault(model, []).extend(answers)

    def on_model(self, model: str, behaviour: Behaviour | Answer) -> None:
        """One answer for every request for `model`, without the API's own validation of the body."""
        self._models[model] = behaviour if callable(behaviour) else (lambda _: behaviour)

    def reset(self) -> None:
        """Forgets scripts, requests and violations, and ends what is still being answered; idle connections stay."""
        self._each(Connection.abandon)
        with self._arrival:
            self._queues.clear()
            self._models.clear()
            self.received = []
            self.violations = []
            self.books = {}

    def wait_received(self, count: int = 1, timeout: float = 10) -> list[Received]:
        """The requests so far, once there are `count` of them. Raises AssertionError when they do not come."""
        with self._arrival:
            if not self._arrival.wait_for(lambda: len(self.received) >= count, timeout):
                raise AssertionError(f"{len(self.received)} requests arrived, not {count}")
            return list(self.received)

    def wait_closed(self, request: Received, timeout: float = 10) -> float:
        """The monotonic time at which the other side closed that request's connection."""
        if not request.closed.wait(timeout):
            raise AssertionError(f"request {request.number}: the connection is still open after {timeout} s")
        assert request.closed_at is not None
        return request.closed_at

    @property
    def unused_answers(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    # What connections call, all in the loop's thread.

    def _begin(self, request: Received) -> None:
        with self._arrival:
            self._count += 1
            request.number = self._count
            request.upstream_id = f"req_upstream_{self._count:06d}"
            self.received.append(request)
            self._arrival.notify_all()

    def _serve(self, request: Received) -> Answer:
        found = [*http_violations(request, self.expected, f"127.0.0.1:{self.port}"), *self.rules(request)]
        if found:
            self.violations += [f"request {request.number} ({request.method} {request.path}): {text}" for text in found]
            return reply(500, error("api_error", "; ".join(found)))
        model = self.model_of(request)
        answer = self._scripted(model)
        if answer is None:
            answer = self._models.get(model, self.respond)(request)
        if answer.usage is not None:
            self.books[request.upstream_id] = answer.usage
        return answer

    def _scripted(self, model: str) -> Answer | None:
        with self._arrival:
            for name in (model, None):
                if self._queues.get(name):
                    return self._queues[name].pop(0)
        return None

    def _complain(self, text: str) -> None:
        self.violations.append(text)

    def _connected(self) -> Connection:
        self._opened += 1
        connection = Connection(self._opened, self._begin, self._serve, self._complain, self._connections.discard)
        self._connections.add(connection)
        return connection

    # The thread.

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._main, args=(ready,), name="fake-provider", daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise AssertionError("the fake provider did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _main(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._live(ready.set))

    async def _live(self, ready: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await self._loop.create_server(self._connected, "127.0.0.1", self.port, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        ready()
        await self._stop.wait()
        server.close()
        for connection in list(self._connections):
            with suppress(OSError):
                await connection.stop()

    def run(self, announce: Callable[[str], None]) -> None:
        """Serves in this thread until the process ends; `announce` is given the address."""

        def told() -> None:
            announce(self.url)

        asyncio.run(self._live(told))

    def drop_connections(self) -> None:
        """Closes every connection from this side, as a provider does that has been idle for long."""
        self._each(Connection.close)
        limit = time.monotonic() + 5
        while self._connections and time.monotonic() < limit:
            time.sleep(0.005)

    def _each(self, act: Callable[[Connection], None]) -> None:
        """Does something to every connection, and returns when it is done."""
        done = threading.Event()

        def run() -> None:
            for connection in list(self._connections):
                act(connection)
            done.set()

        self._loop.call_soon_threadsafe(run)
        if not done.wait(10):
            raise AssertionError("the fake provider's loop does not answer")
