"""How fast records reach PostgreSQL, and what requests notice of it. `make bench-recorder` runs it; it takes some minutes.

A record here is a finished request with one line of the ledger: two rows of tables and their indexes, and its part of six
roll-ups, in one transaction a batch. First one process stores batches and nothing else. Then a gateway with everything on gets
requests at a fixed rate, and meanwhile the spool of a dead process to replay.
"""

import argparse
import dataclasses
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from bench.ledger import PRICE, SERVER, database, use
from bench.loads import Bench
from bench.plan import Open, Plan, Setup
from bench.processes import cores, cpu_of
from bench.subjects import Services, Subject, gateway, start_upstreams

BATCH = 2000
ROWS = 2  # of a record with one line
KEYS = 300  # a few of which make most of the requests
Figures = dict[str, float]


def entries(count: int, dice: random.Random, *, alike: bool) -> list[Any]:
    """Finished requests. Not `alike`: each with names of its own, so that roll-ups save nothing."""
    from accounting.money.entry import Attempt, Entry, Line

    price, cost = json.loads(PRICE), Decimal("0.012345678901")
    made = []
    for place in range(count):
        key = int(dice.paretovariate(0.6)) % KEYS if alike else place
        line = Line(0, "usage", 0, "provider-1", "vendor.claude-1", 100, 200, 300, 40, 0, 0, cost, price)
        made.append(
            Entry(
                request_id=f"req_{time.time_ns() // 1_000_000:012x}{uuid4().hex[:20]}", started_at=time.time(),
                team=f"team-{key % 6}", project="project-1", key=f"key-{key}", key_prefix=f"gw_{key:08}",
                user=f"person-{key}@example.org", session_id=uuid4().hex, user_agent="claude-cli/2", client_ip="10.0.0.1",
                alias="claude-1", route="claude-1", provider="provider-1", upstream_model="vendor.claude-1",
                attempts=[Attempt("provider-1", "vendor.claude-1", 200, "", 12.5)], status=200, outcome="served",
                tokens_input=100, tokens_output=200, tokens_cache_read=300, tokens_cache_write_5m=40, cost_usd=cost,
                price=price, lines=[line], tags={"cost_center": str(4700 + key % 20)}, ttft_ms=150.0, duration_ms=900.0,
            )
        )  # fmt: skip
    return made


def storing(server: str, batches: int, *, alike: bool) -> Figures:
    """Records and rows per second, and what both processes spend on a record in microseconds."""
    from django.db import connection

    from accounting.money.spool import FINAL, encode
    from accounting.money.store import store_lines

    def lines() -> list[bytes]:
        return [encode(FINAL, each) for each in entries(BATCH, dice, alike=alike)]

    dice = random.Random(1)
    with database(server, f"bench_recorder_{os.getpid()}") as url:
        use(url)
        store_lines(lines())
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backend = cursor.fetchone()[0]
        wall = own = spent = 0.0
        for _ in range(batches):
            batch = lines()
            before = time.perf_counter(), time.process_time(), cpu_of(backend)
            if not store_lines(batch):
                raise RuntimeError("a batch was not stored from its lines")
            wall += time.perf_counter() - before[0]
            own += time.process_time() - before[1]
            spent += cpu_of(backend) - before[2]
        count = batches * BATCH
        connection.close()
    return {
        "records_per_second": count / wall,
        "rows_per_second": ROWS * count / wall,
        "rows_per_second_of_backend_cpu": ROWS * count / spent,
        "own_cpu_us": own / count * 1e6,
        "backend_cpu_us": spent / count * 1e6,
    }


def left_behind(folder: Path, count: int) -> None:
    """A spool as a process leaves it that died with so many finished requests."""
    from accounting.money.spool import FINAL, encode

    folder.mkdir(parents=True)
    dice = random.Random(2)
    for number in range(0, count, BATCH):
        lines = (encode(FINAL, entry) for entry in entries(min(BATCH, count - number), dice, alike=True))
        (folder / f"{number:010d}.jsonl").write_bytes(b"".join(lines))


def during(bench: Bench, subject: Subject, load: Open, backlog: Path) -> Iterator[tuple[str, Figures]]:
    """Rounds of the load: before a backlog is there, while it is replayed, and when it is gone. The first one is not counted."""
    bench.run(load, subject)
    yield "before", bench.run(load, subject)
    yield "before", bench.run(load, subject)
    spool = subject.server.log.parent / "spool" / backlog.name
    backlog.rename(spool)
    whole = len(list(spool.glob("*.jsonl")))
    last = time.monotonic() + 600
    begun = 0.0
    while spool.exists() and time.monotonic() < last:
        found = bench.run(load, subject)
        begun = begun or time.monotonic()
        yield "meanwhile", found | {"segments": whole}
    yield "after", bench.run(load, subject)
    yield "after", bench.run(load, subject)


@contextmanager
def kept_off(server: str, core: int) -> Iterator[bool]:
    """Keeps the processes that PostgreSQL has for the benchmark's databases off a core, as far as we may (root): what a gateway
    notices of its own recorder is asked here, not what it notices of a database on the same core. Whether that was done."""
    others, over, done = os.sched_getaffinity(0) - {core}, threading.Event(), threading.Event()

    def look() -> None:
        with psycopg.connect(server, autocommit=True) as connection:
            while not over.wait(0.2):
                found = connection.execute("SELECT pid FROM pg_stat_activity WHERE datname LIKE 'gateway_bench_%'")
                for (pid,) in found.fetchall():
                    with suppress(OSError):
                        os.sched_setaffinity(pid, others)
                        done.set()

    if not others:
        yield False
        return
    thread = threading.Thread(target=look)
    thread.start()
    try:
        time.sleep(1)
        yield done.is_set()
    finally:
        over.set()
        thread.join()


def replaying(server: str, count: int, load: Open) -> dict[str, Any]:
    """The load has the gateway's core where there are but two: the other one is the database's then."""
    core, load_core = cores()
    load_core = core if len(os.sched_getaffinity(0)) < 3 else load_core
    plan = Plan(1, 4, 4, (load,), (Setup("everything, PostgreSQL", postgres=True),))
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        upstreams = start_upstreams(folder, load_core)
        stack.callback(upstreams.messages.stop)
        stack.callback(upstreams.streams.stop)
        subject = stack.enter_context(gateway(plan.setups[0], folder, upstreams, plan, core, Services(server, "")))
        left_behind(folder / "999-backlog", count)
        found: dict[str, list[Figures]] = {}
        apart = stack.enter_context(kept_off(server, core))
        begun = time.monotonic()
        for when, figures in during(Bench(folder, load_core, plan), subject, load, folder / "999-backlog"):
            found.setdefault(when, []).append(figures)
        seconds = time.monotonic() - begun - 5 * (plan.seconds + 1)
    return {
        "load": load.name,
        "backlog": count,
        "database_on_another_core": apart,
        "seconds_with_backlog": seconds,
        **{
            when: {name: statistics.median(each[name] for each in rounds) for name in ("p50_ms", "p99_ms", "errors")}
            for when, rounds in found.items()
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=SERVER, help="a PostgreSQL server on which databases may be made")
    parser.add_argument("--batches", type=int, default=20, help=f"of {BATCH} records, for the first part")
    parser.add_argument("--backlog", type=int, default=200_000, help="records to replay; 0 leaves the second part out")
    parser.add_argument("--rate", type=int, default=200, help="requests per second meanwhile")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        os.environ |= {"GATEWAY_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "gateway_project.settings"}
        os.environ |= {"GATEWAY_LOG_LEVEL": "ERROR", "DATABASE_URL": options.server}
        import django

        django.setup()
        result: dict[str, Any] = {
            "names alike": storing(options.server, options.batches, alike=True),
            "each with names of its own": storing(options.server, options.batches, alike=False),
        }
        print(json.dumps(result, indent=1), flush=True)
        if options.backlog:
            load = dataclasses.replace(Open(options.rate), size="2 KB")
            print(json.dumps(replaying(options.server, options.backlog, load), indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
