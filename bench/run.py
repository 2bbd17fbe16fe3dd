"""The project's benchmark: the gateway beside nginx, in alternated rounds on one core. `make bench` runs it.

Machines differ, and the same machine differs from minute to minute; so a number alone says nothing. What counts is the
ratio of gateway to nginx within a round, and its median over rounds. Results go to bench/results/.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.processes import ROOT, NotMeasured, cores, pinned
from bench.subjects import KEY, Subject, start_gateway, start_nginx_proxy, start_upstreams

CELLS = ("2KB", "100KB")
BODY_BYTES = {"2KB": 2_000, "100KB": 100_000}
CONNECTIONS = 16
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each cell is measured, in seconds, how often, and with how many streams."""

    rounds: int
    seconds: int
    streams: int
    stream_seconds: float


def body(size: int, *, stream: bool) -> bytes:
    """A request of about `size` bytes, shaped like an agent's: system text, a long history, a question."""
    head = {"model": "bench-stream" if stream else "bench", "max_tokens": 1000, "stream": stream}
    filler = "The quick brown fox jumps over the lazy dog, and the gateway passes it on. "
    text = (filler * (size // len(filler) + 1))[: max(10, size - 250)]
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}, {"role": "user", "content": "Go on."}]
    return json.dumps(head | {"system": "You are terse.", "messages": messages}).encode()


def wrk(subject: Subject, file: Path, connections: int, seconds: int, core: int) -> Figures:
    """Requests with whole answers: rate, latency, and the subject's CPU time for each."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(ROOT / "bench/post.lua")]
    environment = {**os.environ, "BENCH_BODY": str(file), "BENCH_KEY": KEY}
    before = subject.server.cpu_seconds()
    done = subprocess.run(
        pinned(core, [*command, f"http://127.0.0.1:{subject.port}"]),
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    cpu = subject.server.cpu_seconds() - before
    if done.returncode:
        raise NotMeasured(f"wrk failed: {done.stderr or done.stdout}")
    found: Figures = json.loads(done.stdout.strip().splitlines()[-1])
    if found["errors"] or not found["requests"]:
        raise NotMeasured(f"{subject.name} answered {found['errors']} of {found['requests']} requests with an error")
    return {
        "per_second": found["requests"] / found["seconds"],
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        "cpu_us": cpu / found["requests"] * 1e6,
    }


def streams(subject: Subject, file: Path, plan: Plan, core: int) -> Figures:
    """Live streams: how many ended in order, how late their events were, and the subject's CPU time for each event."""
    command = [sys.executable, "-m", "bench.streams", str(subject.stream_port), str(plan.streams), KEY, str(file)]
    before = subject.server.cpu_seconds()
    limit = 60 + 5 * plan.stream_seconds
    done = subprocess.run(pinned(core, command), cwd=ROOT, capture_output=True, text=True, check=False, timeout=limit)
    cpu = subject.server.cpu_seconds() - before
    if done.returncode:
        raise NotMeasured(f"the stream load failed: {done.stderr[-2000:]}")
    found: Figures = json.loads(done.stdout)
    found["cpu_us"] = cpu / max(1, found["events"]) * 1e6
    return found


def measure(subject: Subject, folder: Path, plan: Plan, core: int) -> dict[str, Figures]:
    """One round of one subject, all cells."""
    figures = {name: wrk(subject, folder / f"{name}.json", CONNECTIONS, plan.seconds, core) for name in CELLS}
    figures["one connection"] = wrk(subject, folder / "2KB.json", 1, max(1, plan.seconds // 2), core)
    if plan.streams:
        figures["streams"] = streams(subject, folder / "stream.json", plan, core)
    figures["memory"] = {"resident_mib": subject.server.resident_mib()}
    return figures


def summary(rounds: Sequence[dict[str, dict[str, Figures]]]) -> dict[str, float]:
    """Medians over the rounds: ratios within a round, and the gateway's own figures beside them."""

    def median(subject: str, cell: str, figure: str) -> float:
        return statistics.median(each[subject][cell][figure] for each in rounds)

    def ratio(cell: str, figure: str) -> float:
        return statistics.median(
            each["gateway"][cell][figure] / max(each["nginx"][cell][figure], 1e-9) for each in rounds
        )

    found: dict[str, float] = {}
    for cell in CELLS:
        found[f"{cell} requests/s"] = median("gateway", cell, "per_second")
        found[f"{cell} share of nginx: 1 in"] = 1 / ratio(cell, "per_second")
        found[f"{cell} CPU us/request"] = median("gateway", cell, "cpu_us")
    added = (each["gateway"]["one connection"]["p50_ms"] - each["nginx"]["one connection"]["p50_ms"] for each in rounds)
    found["one connection, added p50 ms"] = statistics.median(added)
    if "streams" in rounds[0]["gateway"]:
        for figure in ("ended", "lag_p50_ms", "lag_p99_ms", "first_p50_ms", "cpu_us"):
            found[f"streams {figure}"] = median("gateway", "streams", figure)
            found[f"streams {figure}, nginx"] = median("nginx", "streams", figure)
        found["streams CPU per event, times nginx"] = ratio("streams", "cpu_us")
    found["resident MiB after load"] = median("gateway", "memory", "resident_mib")
    return found


def run(plan: Plan, database: str) -> dict[str, object]:
    core, load_core = cores()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        folder = Path(name)
        for cell, size in BODY_BYTES.items():
            (folder / f"{cell}.json").write_bytes(body(size, stream=False))
        (folder / "stream.json").write_bytes(body(2_000, stream=True))
        started = []
        try:
            upstreams = start_upstreams(folder, load_core, plan.stream_seconds)
            started += [upstreams.messages, upstreams.streams]
            nginx = start_nginx_proxy(folder, upstreams, core)
            started.append(nginx.server)
            gateway = start_gateway(folder, upstreams, core, database)
            started.append(gateway.server)
            idle = gateway.server.resident_mib()
            rounds = []
            for number in range(plan.rounds):
                order = (nginx, gateway) if number % 2 == 0 else (gateway, nginx)
                rounds.append({each.name: measure(each, folder, plan, load_core) for each in order})
                print(f"round {number + 1} of {plan.rounds} done", file=sys.stderr)
        finally:
            for running in reversed(started):
                running.stop()
    medians = {**summary(rounds), "resident MiB idle": idle}
    return {"medians": medians, "rounds": rounds, "core": core, "load_core": load_core}


def missing() -> list[str]:
    return [tool for tool in ("nginx", "wrk", "taskset") if shutil.which(tool) is None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="for each cell")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--stream-seconds", type=float, default=8)
    parser.add_argument("--database-url", default="", help="default: SQLite; the database must be empty")
    options = parser.parse_args()
    if tools := missing():
        sys.exit(f"bench: {', '.join(tools)} not found; on Debian: apt-get install nginx-light wrk util-linux")
    plan = Plan(options.rounds, options.seconds, options.streams, options.stream_seconds)
    try:
        result = run(plan, options.database_url)
    except NotMeasured as error:
        sys.exit(f"bench: {error}")
    now = datetime.now(UTC)
    result |= {"at": now.isoformat(), "python": platform.python_version(), "machine": platform.machine()}
    result["database"] = "PostgreSQL" if options.database_url else "SQLite"
    file = ROOT / "bench/results" / f"{now:%Y-%m-%dT%H%M}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")
    medians = result["medians"]
    assert isinstance(medians, dict)
    for name, value in medians.items():
        print(f"{name:42} {value:12.2f}")
    if result["core"] == result["load_core"]:
        print("One core only: the load ran beside what was measured, so ratios flatter nobody and say little.")
    print(f"written to {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
