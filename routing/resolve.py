"""Which targets serve one request, in which order, and why not the others. Health, time and chance are passed in."""

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec

from routing.targets import HealthView, RouteConf, TargetConf, TargetHealth

Random = Callable[[], float]


class Candidate(msgspec.Struct, frozen=True):
    """A target to try. `score` is what its tier was ordered by, the greatest first; `probe` as in `TargetHealth`."""

    target: TargetConf
    score: float
    probe: bool = False


class Resolution(msgspec.Struct, frozen=True):
    """Targets in the order to try them, and those passed over with the reason, for people.

    Targets that only rest (a 429) are tried after all, the first to return first, when nothing else is left. Without
    candidates, `retry_after` is the number of seconds until the first target can be tried again; None if no
    waiting helps, because the route has no target that takes traffic.
    """

    candidates: tuple[Candidate, ...]
    passed_over: tuple[tuple[TargetConf, str], ...] = ()
    retry_after: float | None = None


def resolve(route: RouteConf, *, sticky_key: str, health: HealthView, now: float, random: Random) -> Resolution:
    """The route's targets for one request: tier by tier, within a tier by the route's strategy.

    `sticky_key` is what the route's `sticky` asks for (a session's id, a key's prefix), or nothing; `random` gives
    numbers in [0, 1).
    """
    candidates: list[Candidate] = []
    passed_over: list[tuple[TargetConf, str]] = []
    waits: list[float] = []
    resting: list[tuple[float, Candidate]] = []
    key = "" if route.sticky == "none" else sticky_key
    for tier in route.tiers:
        able: list[tuple[TargetConf, TargetHealth]] = []
        for target in tier:
            state = health.look(target, now)
            if not target.weight:
                passed_over.append((target, "it has the weight zero and takes no traffic"))
            elif state.reason:
                passed_over.append((target, state.reason))
                waits.append(state.until - now)
                if state.state == "closed" and not state.barred:
                    resting.append((state.until, Candidate(target, now - state.until)))
            else:
                able.append((target, state))
        candidates += _ordered(route.strategy, able, key, random)
    if not candidates and resting:
        # A target that asked for a rest still answers best for itself: its own 429 tells the client more than ours would.
        candidates = [candidate for _, candidate in sorted(resting, key=lambda pair: pair[0])]
        back = {candidate.target.key for candidate in candidates}
        passed_over = [pair for pair in passed_over if pair[0].key not in back]
    retry_after = max(min(waits), 0.0) if waits and not candidates else None
    return Resolution(tuple(candidates), tuple(passed_over), retry_after)


def _ordered(
    strategy: str, able: Sequence[tuple[TargetConf, TargetHealth]], key: str, random: Random
) -> list[Candidate]:
    """One tier's targets, the greatest score first; equal scores keep the listed order.

    With something to stick to, `least_busy` and `latency` place it by weight: every process sees other calls in flight
    and other times, and only the names and weights of targets are the same for all of them.
    """
    score = _SCORES[strategy if strategy == "priority" or not key else "weighted"]
    scored = [
        Candidate(target, score(target, state, index, key, random), state.probe)
        for index, (target, state) in enumerate(able)
    ]
    if len(scored) > 1:
        scored.sort(key=lambda candidate: -candidate.score)
    return scored


def _weighted(target: TargetConf, state: TargetHealth, index: int, key: str, random: Random) -> float:
    """Weighted rendezvous hashing (Schindelhauer, Schomaker 2005): with a fixed key every process gives a target the
    same score, shares follow the weights, and a target that leaves moves only its own keys."""
    chance = _hashed(key, target.provider.name, target.model) if key else random()
    return -target.weight / math.log(_inside(chance))


def _priority(target: TargetConf, state: TargetHealth, index: int, key: str, random: Random) -> float:
    return -float(index)


def _least_busy(target: TargetConf, state: TargetHealth, index: int, key: str, random: Random) -> float:
    """Calls in flight for each unit of weight, fewest first; a draw, only between equals, by weighted chance."""
    busy = state.in_flight / target.weight
    draw = -target.weight / math.log(_inside(random()))
    return -busy + 1e-9 * draw / (1.0 + draw)


def _latency(target: TargetConf, state: TargetHealth, index: int, key: str, random: Random) -> float:
    """The fastest first byte first. An unknown target comes before all others for one call, and after them while that
    call is under way: its answer is awaited before more are sent there."""
    if state.ttft is not None:
        return -state.ttft
    return 1.0 if not state.in_flight else -1e6 - state.in_flight


_SCORES: dict[str, Callable[[TargetConf, TargetHealth, int, str, Random], float]] = {
    "weighted": _weighted,
    "priority": _priority,
    "least_busy": _least_busy,
    "latency": _latency,
}


@lru_cache(maxsize=10_000)  # a session makes many requests
def _hashed(key: str, provider: str, model: str) -> float:
    """A number in [0, 1) that depends on the key and the target's names alone."""
    text = "\0".join((key, provider, model))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)


def _inside(chance: float) -> float:
    """Keeps a number of [0, 1) off both ends, where its logarithm has no use."""
    return min(max(chance, 1e-300), 1.0 - 1e-16)
