"""Load from many connections at once, with an exact account of every answer that came whole."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tests.gateway.bodies import STOP, ask
from tests.harness import Client, send


class Reached(Protocol):
    """Where the load goes: a gateway, or what stands before several."""

    def client(self) -> Client: ...


@dataclass(slots=True)
class Account:
    """`answered` are the ids of requests whose whole answer arrived; `refused` (status, body) of any other answer;
    `broken` counts connections that failed."""

    answered: list[str] = field(default_factory=list)
    refused: list[tuple[int, bytes]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Load:
    """`with Load(gateway, 8) as account:` keeps so many clients busy with calls and streams until the block ends.

    `pause` is the time in seconds between two requests of one client. Clients whose connection breaks stop, unless they
    are `stubborn`.
    """

    def __init__(self, gateway: Reached, clients: int, *, pause: float = 0.0, stubborn: bool = False) -> None:
        self.account = Account()
        self._gateway, self._pause, self._stubborn = gateway, pause, stubborn
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Account:
        for thread in self._threads:
            thread.start()
        return self.account

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, number: int) -> None:
        while not self._stop.is_set():
            try:
                with self._gateway.client() as client:
                    self._talk(client, number)
            except (OSError, EOFError) as error:
                self.account.broken.append(repr(error))
                if not self._stubborn:
                    return

    def _talk(self, client: Client, number: int) -> None:
        count = number
        while not self._stop.wait(self._pause):
            count += 1
            streamed = bool(count % 2)
            send(client, ask("events=12", stream=streamed))
            head = client.head()
            body = client.rest()
            whole = body.endswith(STOP) if streamed else body.endswith(b"}")
            if head.status == 200 and whole:
                self.account.answered.append(head.value("request-id"))
            else:
                self.account.refused.append((head.status, body[-300:]))
            if head.value("connection") == "close":
                return


def wait_for(account: Account, count: int, timeout: float = 30) -> None:
    """Until so many answers have come."""
    limit = time.monotonic() + timeout
    grown: Callable[[], bool] = lambda: len(account.answered) >= count  # noqa: E731
    while not grown():
        assert time.monotonic() < limit, f"{len(account.answered)} answers, {account.refused[:3]}, {account.broken[:3]}"
        time.sleep(0.01)
