"""Time that a test moves by hand, and providers with one credential each."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from gateway_project.crypto import Secret
from routing.targets import CredentialConf, ProviderConf

START = 1_795_000_000.0  # 2026-11-18


@dataclass(order=True)
class _Timer:
    when: float
    number: int
    call: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class HandClock:
    """A clock that stands still until `advance`; `chance` is always the same number."""

    def __init__(self, chance: float = 0.5) -> None:
        self.time = START
        self._chance = chance
        self._numbers = count()
        self._timers: list[_Timer] = []

    def now(self) -> float:
        return self.time

    def chance(self) -> float:
        return self._chance

    def call_later(self, seconds: float, call: Callable[[], None]) -> _Timer:
        timer = _Timer(self.time + seconds, next(self._numbers), call)
        heapq.heappush(self._timers, timer)
        return timer

    @property
    def pending(self) -> list[float]:
        """In how many seconds the timers fire, soonest first."""
        return sorted(timer.when - self.time for timer in self._timers if not timer.cancelled)

    def sleep(self, seconds: float) -> None:
        """Time passes and no timer fires, as when a machine was suspended."""
        self.time += seconds

    def advance(self, seconds: float) -> None:
        """Time passes, and what falls due is called in its order."""
        until = self.time + seconds
        while self._timers and self._timers[0].when <= until:
            timer = heapq.heappop(self._timers)
            self.time = max(self.time, timer.when)
            if not timer.cancelled:
                timer.call()
        self.time = until


def provider(
    format: str,  # noqa: A002
    kind: str,
    region: str = "us-east-1",
    **values: str,
) -> ProviderConf:
    """A provider named `up` with a credential of that kind."""
    return ProviderConf(
        id=1,
        name="up",
        format=format,
        base_url="https://upstream.example",
        credential=CredentialConf(kind, {name: Secret(value) for name, value in values.items()}),
        region=region,
        project="project",
    )
