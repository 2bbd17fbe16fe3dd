"""What an installation of any size needs, reckoned from what one request costs each part that all nodes share.

    python -m bench.growth                     # the table of docs/scale.md
    python -m bench.growth --measure           # what Redis spends on a request's limits, here and now

The unit costs are measured (`UNITS` says when and where); the rest is arithmetic and a small queueing model. Nothing of more than
one machine was ever run: from where the table says "several" on, everything is extrapolated.
"""

import argparse
import asyncio
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.processes import NotMeasured, free_port

SAFE = 0.6  # how busy a core may be in the steady state, so that bursts of 1.5 x and one lost node still fit


@dataclass(frozen=True, slots=True)
class Units:
    """Of one request, in microseconds of one core's time, and bytes. Measured 2026-11-25 on two shared virtual cores
    (docs/scale.md says by which commands); `stream_event_us` is for each event of a stream."""

    gateway_us: float = 900.0  # a request of 100 KB with everything on
    stream_event_us: float = 46.0
    stream_kib: float = 60.0
    redis_us: float = 176.0  # admission and settlement, 5 budgets and 4 rate limits
    redis_bytes: float = 1_340.0  # over the network, both ways
    postgres_us: float = 67.0  # record, ledger line and roll-ups
    postgres_batch_us: float = 2_000.0  # of each batch, however small, until it is committed
    postgres_bytes: float = 1_940.0  # on disk, of record and line with their indexes


@dataclass(frozen=True, slots=True)
class Wanted:
    """The load of an installation."""

    requests: float  # per second
    streams: int  # live at a time
    events: float = 20.0  # per second of each stream
    days: int = 30  # that records are kept


@dataclass(frozen=True, slots=True)
class Needed:
    """`turn_seconds`: within which every worker stores a batch. Shards are Redis nodes among which counters are divided."""

    workers: int
    memory_gib: float
    redis_cores: float
    redis_shards: int
    redis_mbit: float
    postgres_cores: float
    turn_seconds: float
    disk_gib_a_day: float
    disk_gib_kept: float


def needed(wanted: Wanted, units: Units) -> Needed:
    """What carries that load with each core busy for `SAFE` of its time."""
    gateway = (wanted.requests * units.gateway_us + wanted.streams * wanted.events * units.stream_event_us) / 1e6
    redis = wanted.requests * units.redis_us / 1e6
    postgres = wanted.requests * units.postgres_us / 1e6
    a_day = wanted.requests * 86_400 * units.postgres_bytes / 2**30
    workers = max(1, math.ceil(gateway / SAFE))
    return Needed(
        workers=workers,
        memory_gib=wanted.streams * units.stream_kib / 2**20,
        redis_cores=redis,
        redis_shards=max(1, math.ceil(redis / SAFE)),
        redis_mbit=wanted.requests * units.redis_bytes * 8 / 1e6,
        postgres_cores=postgres,
        turn_seconds=turn(wanted, units, workers),
        disk_gib_a_day=a_day,
        disk_gib_kept=a_day * wanted.days,
    )


def turn(wanted: Wanted, units: Units, workers: int) -> float:
    """Batches that touch the same roll-ups store one after the other; a batch grows while its worker waits for its turn. So a
    turn of all workers takes W x f + R x turn x u, whence this; infinite where one writer cannot keep up."""
    busy = wanted.requests * units.postgres_us / 1e6
    return math.inf if busy >= 1 else max(0.2, workers * units.postgres_batch_us / 1e6 / (1 - busy))


def waiting_ms(requests: float, service_us: float, servers: int = 1) -> float:
    """The mean time to wait for one of some equal servers, each with a queue of its own and steady service: M/D/1.

    Infinite where they cannot keep up.
    """
    busy = requests / servers * service_us / 1e6
    return math.inf if busy >= 1 else busy / (2 * (1 - busy)) * service_us / 1000


SIZES = (
    ("a team", Wanted(5, 50)),
    ("one node of 4 workers", Wanted(200, 1_000)),
    ("a company", Wanted(1_000, 10_000)),
    ("several regions", Wanted(3_000, 30_000)),
    ("the plan's end", Wanted(10_000, 100_000)),
)


def table(units: Units) -> list[str]:
    rows = [
        "| size | requests/s | live streams | workers (cores) | memory of streams | Redis cores | shards | wait for Redis |"
        " PostgreSQL cores | records seen after | GiB a day |",
        "|---" * 11 + "|",
    ]
    for name, wanted in SIZES:
        found = needed(wanted, units)
        one = waiting_ms(wanted.requests, units.redis_us)
        many = waiting_ms(wanted.requests, units.redis_us, found.redis_shards)
        wait = f"{many:.2f} ms" + (
            "" if found.redis_shards == 1 else f" ({'never' if one == math.inf else f'{one:.2f} ms'} with one)"
        )
        rows.append(
            f"| {name} | {wanted.requests:,.0f} | {wanted.streams:,} | {found.workers:,} | {found.memory_gib:.1f} GiB | "
            f"{found.redis_cores:.2f} | {found.redis_shards} | {wait} | {found.postgres_cores:.2f} | "
            f"{found.turn_seconds:.1f} s | {found.disk_gib_a_day:,.1f} |"
        )
    return rows


@contextmanager
def own_redis() -> Iterator[int]:
    """A Redis of this program's own; its port."""
    program = shutil.which("redis-server")
    if program is None:
        raise NotMeasured("redis-server not found; on Debian: apt-get install redis-server")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


async def redis_costs(port: int, count: int = 5_000) -> dict[str, float]:
    """What admission and settlement of one request cost Redis: microseconds in the script and of the whole process, bytes."""
    import redis

    from accounting.limits.book import BudgetLine, Plan, RateLine
    from accounting.limits.counters import Settlement, Wish
    from accounting.limits.periods import Period
    from accounting.limits.redis import RedisBooks, RedisCounters
    from accounting.limits.terms import EVERYTHING, BudgetTerms, RateTerms

    url, prefix = f"redis://127.0.0.1:{port}/0", "bench:{0}"
    books, counters = RedisBooks(url, prefix=prefix), RedisCounters(url, prefix=prefix)
    books.declare_ready()
    budgets = tuple(
        BudgetLine(
            BudgetTerms(each, EVERYTHING, "day", 10**15), Period(0, 86_400), f"b:{each}:0", 10**15, 10**15, "", 86_400
        )
        for each in range(5)
    )
    kinds = ("concurrent_requests", "requests_per_minute", "requests_per_minute", "input_tokens_per_minute")
    rates = tuple(
        RateLine(RateTerms(str(each), EVERYTHING, kind, 10**12), f"r:{each}", 10**12, kind)
        for each, kind in enumerate(kinds)
    )
    plan, wish = Plan(budgets, rates), Wish(10**6, 10**4, 20_000, 500)
    client = redis.Redis(port=port)

    async def one(number: int) -> None:
        decision = await counters.admit(f"t{number}", plan, wish)
        spent = [(line.key, line.lifetime) for line in budgets]
        await counters.settle([Settlement(f"t{number}", decision.at, 9 * 10**5, spent, [("r:3", -100)])])

    await one(0)
    client.config_resetstat()
    before = _cpu(client), client.info("memory")["used_memory"]
    for number in range(1, count + 1):
        await one(number)
    traffic, calls = client.info("stats"), client.info("commandstats")
    found = {
        "redis_script_us": sum(each["usec"] for name, each in calls.items() if "eval" in name) / count,
        "redis_us": (_cpu(client) - before[0]) / count * 1e6,
        "redis_bytes": (traffic["total_net_input_bytes"] + traffic["total_net_output_bytes"]) / count,
        "redis_memory_kib": (client.info("memory")["used_memory"] - before[1]) / 1024,
    }
    await counters.close()
    client.close()
    return found


def _cpu(client: object) -> float:
    info: dict[str, float] = client.info("cpu")  # type: ignore[attr-defined]
    return info["used_cpu_user"] + info["used_cpu_sys"]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="the unit costs of Redis, on this machine")
    for name in Units.__slots__:
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(Units(), name))
    options = parser.parse_args(arguments)
    if options.measure:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
        begun = time.monotonic()
        try:
            with own_redis() as port:
                for _ in range(100):
                    if _listens(port):
                        break
                    time.sleep(0.05)
                for name, value in asyncio.run(redis_costs(port)).items():
                    print(f"{name:20} {value:10.1f}")
        except NotMeasured as error:
            sys.exit(f"growth: {error}")
        print(f"measured in {time.monotonic() - begun:.0f} s")
        return
    print("\n".join(table(Units(**{name: getattr(options, name) for name in Units.__slots__}))))


def _listens(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
