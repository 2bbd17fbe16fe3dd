"""Many streams and stalled readers for minutes: no error, and memory that stays where it is.

    python -m bench.soak --streams 1000 --stalled 100 --minutes 10

The gateway runs with everything on; streams begin anew when they end, so that the number stays. Memory
(resident, of all of the gateway's processes) is looked at every five seconds; it is flat if a line through what follows
the first minute (or the first third of a shorter run) rises by less than 8 MiB from there to the end.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.loads import body
from bench.plan import FLOOD, SIZES, Plan, Setup, Streams, stream_model
from bench.processes import ROOT, NotMeasured, cores, pinned
from bench.subjects import KEY, Services, Subject, gateway, start_upstreams

LOOK_EVERY = 5.0  # seconds
MOST_GROWTH = 8.0  # MiB
ROUND_SECONDS = 20  # that one stream lasts
STREAM_GROUPS = 4  # of streams that begin one after the other, so that they do not all begin anew at once


@dataclass(slots=True)
class Watched:
    """What was seen: memory (seconds since the start, MiB), streams that ended in order, and errors."""

    memory: list[tuple[float, float]] = field(default_factory=list)
    ended: int = 0
    events: int = 0
    errors: int = 0
    lag_p99_ms: list[float] = field(default_factory=list)


def growth(memory: Sequence[tuple[float, float]], since: float) -> float:
    """How many MiB a line through the looks from `since` on rises over their time."""
    seen = [each for each in memory if each[0] >= since]
    if len(seen) < 3:
        return 0.0
    times, values = [each[0] for each in seen], [each[1] for each in seen]
    middle, level = sum(times) / len(seen), sum(values) / len(seen)
    over = sum((at - middle) ** 2 for at in times)
    slope = sum((at - middle) * (value - level) for at, value in seen) / over
    return slope * (times[-1] - times[0])


class Soak:
    """Loads against one gateway, each a process that is started anew when it has ended."""

    def __init__(self, subject: Subject, core: int, folder: Path, model: str) -> None:
        self._subject, self._core = subject, core
        self._streamed, self._stalling = folder / "stream.json", folder / "stall.json"
        self._streamed.write_bytes(body(SIZES["2 KB"], model, stream=True))
        self._stalling.write_bytes(body(SIZES["2 KB"], FLOOD, stream=True))
        self._running: list[tuple[subprocess.Popen[str], int]] = []
        self.seen = Watched()

    def run(self, streams: int, stalled: int, seconds: float) -> None:
        begun = time.monotonic()
        readers = self._start(stalled, self._stalling, "--stalled") if stalled else None
        try:
            group = max(1, streams // STREAM_GROUPS)
            for _ in range(streams // group):
                self._running.append((self._start(group, self._streamed), group))
                time.sleep(ROUND_SECONDS / STREAM_GROUPS)
            while (now := time.monotonic() - begun) < seconds:
                self.seen.memory.append((now, self._subject.server.resident_mib()))
                time.sleep(LOOK_EVERY)
                self._replace()
            for process, _ in self._running:
                self._count(process)
            if readers is not None:
                self._count(readers)
        finally:
            for process in [each for each, _ in self._running] + ([readers] if readers else []):
                process.kill()
                process.wait()

    def _start(self, count: int, file: Path, *options: str) -> "subprocess.Popen[str]":
        limit = ["--limit", str(ROUND_SECONDS * 3)]
        command = [sys.executable, "-m", "bench.streams", str(self._subject.stream_port), str(count), KEY, str(file)]
        return subprocess.Popen(
            pinned(self._core, [*command, *limit, *options]), cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def _replace(self) -> None:
        for place, (process, count) in enumerate(self._running):
            if process.poll() is not None:
                self._count(process)
                self._running[place] = (self._start(count, self._streamed), count)

    def _count(self, process: "subprocess.Popen[str]") -> None:
        said, wrong = process.communicate("\n", timeout=ROUND_SECONDS * 4)
        try:
            found = json.loads(said.strip().splitlines()[-1])
        except (IndexError, ValueError):
            raise NotMeasured(f"a load failed: {wrong[-2000:]}") from None
        self.seen.errors += found["errors"]
        self.seen.ended += found["ended"]
        self.seen.events += found["events"]
        self.seen.lag_p99_ms.append(found["lag_p99_ms"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--stalled", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=20, help="events per second of each stream")
    parser.add_argument("--postgres", default="", metavar="URL", help="a server for the records; SQLite otherwise")
    options = parser.parse_args()
    if not (0 < options.minutes <= 600 and 0 < options.streams <= 5000 and 0 <= options.stalled <= 2000):
        sys.exit("soak: at most 600 minutes, 5,000 streams and 2,000 stalled readers")
    print(json.dumps(soak(options), indent=1))


def soak(options: argparse.Namespace) -> dict[str, object]:
    core, load_core = cores()
    setup = Setup("everything", postgres=bool(options.postgres))
    plan = Plan(1, 1, ROUND_SECONDS, (Streams(options.streams),), (setup,))
    plan = dataclasses.replace(plan, rate=options.rate)
    plan_model = stream_model(ROUND_SECONDS, rate=options.rate)
    seconds = options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="gateway-soak-") as name, ExitStack() as stack:
        folder = Path(name)
        upstreams = start_upstreams(folder, load_core)
        stack.callback(upstreams.messages.stop)
        stack.callback(upstreams.streams.stop)
        subject = stack.enter_context(gateway(setup, folder, upstreams, plan, core, Services(options.postgres, "")))
        running = Soak(subject, load_core, folder, plan_model)
        try:
            running.run(options.streams, options.stalled, seconds)
        except NotMeasured as error:
            sys.exit(f"soak: {error}")
    seen, since = running.seen, min(60.0, seconds / 3)
    grown = growth(seen.memory, since)
    return {
        "streams": options.streams,
        "events_per_second_of_each": options.rate,
        "stalled": options.stalled,
        "minutes": options.minutes,
        "ended": seen.ended,
        "events": seen.events,
        "errors": seen.errors,
        "lag_p99_ms": max(seen.lag_p99_ms, default=0.0),
        "idle_mib": subject.idle_mib,
        "memory_mib": [round(value, 1) for _, value in seen.memory[:: max(1, len(seen.memory) // 40)]],
        "grown_mib_after_the_first_minute": round(grown, 2),
        "held": seen.errors == 0 and grown < MOST_GROWTH,
    }


if __name__ == "__main__":
    main()
