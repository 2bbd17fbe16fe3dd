"""The project's benchmark: the gateway beside nginx, in alternated rounds on one core. `make bench` runs it.

Machines differ, and the same machine differs from minute to minute; so a number alone says nothing. What counts is the
ratio of gateway to nginx within a round, and its median over rounds. Results go to bench/results/ and docs/performance.md.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import report, rivals
from bench.loads import Bench, Figures
from bench.plan import Plan, cells, setups
from bench.processes import ROOT, NotMeasured, cores
from bench.subjects import Services, Subject, gateway, start_nginx_proxy, start_upstreams
from bench.targets import AFTER, YARDSTICK, Verdict, compared, verdicts

PACKAGES = ("django", "uvicorn", "uvloop", "httptools", "aiohttp", "msgspec")


def run(plan: Plan, services: Services) -> dict[str, Any]:
    """All rounds. The subjects run side by side and are measured one at a time."""
    core, load_core = cores()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        upstreams = start_upstreams(folder, load_core)
        stack.callback(upstreams.messages.stop)
        stack.callback(upstreams.streams.stop)
        subjects = [start_nginx_proxy(folder, upstreams, core)]
        stack.callback(subjects[0].server.stop)
        for rival in plan.rivals:
            subjects.append(stack.enter_context(rivals.STARTS[rival](folder, upstreams, plan, core)))
        for setup in plan.setups:
            subjects.append(stack.enter_context(gateway(setup, folder, upstreams, plan, core, services)))
        bench = Bench(folder, load_core, plan)
        rounds = []
        for number in range(plan.rounds):
            # Every other round goes backwards, so that nobody is always measured after the same neighbour.
            order = subjects if number % 2 == 0 else subjects[::-1]
            rounds.append({each.name: _measure(bench, each) for each in order})
            print(f"round {number + 1} of {plan.rounds} done", file=sys.stderr)
    started = {each.name: {"start_seconds": each.start_seconds, "idle_mib": each.idle_mib} for each in subjects}
    return {"rounds": rounds, "started": started, "core": core, "load_core": load_core}


def _measure(bench: Bench, subject: Subject) -> dict[str, Figures]:
    figures: dict[str, Figures] = {}
    for cell in bench.plan.cells:
        if subject.name in bench.plan.rivals and not rivals.takes(cell):
            continue
        if subject.name == YARDSTICK and not compared(cell):
            continue
        figures[cell.name] = bench.run(cell, subject)
    figures[AFTER] = {"resident_mib": subject.server.resident_mib()}
    return figures


def versions() -> dict[str, str]:
    found = {"Python": platform.python_version(), "Linux": platform.release()}
    found |= {name: importlib.metadata.version(name) for name in PACKAGES}
    for tool, flag, pattern in (("nginx", "-v", r"nginx/(\S+)"), ("wrk", "-v", r"wrk (?:debian/)?(\S+)")):
        said = subprocess.run([tool, flag], capture_output=True, text=True, check=False)
        match = re.search(pattern, said.stdout + said.stderr)
        found[tool] = match[1] if match else "unknown"
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found["gateway"] = done.stdout.strip() or "unknown"
    return found


def machine() -> str:
    """The processor's name and how many there are."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    match = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return f"{match[1] if match else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def missing() -> list[str]:
    return [tool for tool in ("nginx", "wrk", "taskset") if shutil.which(tool) is None]


def chosen(options: argparse.Namespace) -> Plan:
    quick = options.quick
    wanted = tuple(each for each in cells(quick=quick) if re.search(options.cells, each.name))
    planned = setups(quick=quick and not options.setups, workers=options.workers)
    named = tuple(each for each in planned if re.search(options.setups, each.name))
    if not wanted or not named:
        sys.exit("bench: --cells or --setups leaves nothing to measure")
    return Plan(
        rounds=options.rounds or (2 if quick else 5),
        seconds=options.seconds or (1 if quick else 5),
        stream_seconds=options.stream_seconds or (2 if quick else 8),
        cells=wanted,
        setups=named,
        rivals=tuple(options.rival),
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about two minutes: fewer loads, shorter, two rounds")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=0, help="for each load of whole answers")
    parser.add_argument("--stream-seconds", type=int, default=0, help="that a stream lasts")
    parser.add_argument("--cells", default="", metavar="PATTERN", help="only loads whose names fit")
    parser.add_argument("--setups", default="", metavar="PATTERN", help="only set-ups whose names fit")
    parser.add_argument("--workers", type=int, default=2, help="of the set-up with several")
    parser.add_argument(
        "--postgres", default="postgres://postgres@127.0.0.1:5432/postgres", help="where databases are made"
    )
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/14")
    parser.add_argument(
        "--rival", action="append", default=[], choices=sorted(rivals.STARTS), help="installed under var/"
    )
    parser.add_argument("--page", action="store_true", help="write the tables into docs/performance.md")
    return parser.parse_args()


def judged(result: Mapping[str, Any], plan: Plan) -> dict[str, Sequence[Verdict]]:
    return {
        each.name: verdicts(result["rounds"], each.name, **result["started"][each.name])
        for each in plan.setups
        if each.workers == 1  # the targets are those of one worker on one core
    }  # fmt: skip


def main() -> None:
    options = arguments()
    if tools := missing():
        sys.exit(f"bench: {', '.join(tools)} not found; on Debian: apt-get install nginx-light wrk util-linux")
    plan = chosen(options)
    try:
        result = run(plan, Services(options.postgres, options.redis))
    except NotMeasured as error:
        sys.exit(f"bench: {error}")
    now = datetime.now(UTC)
    found = judged(result, plan)
    result |= {"at": now.isoformat(), "machine": machine(), "versions": versions(), "rivals": list(plan.rivals)}
    result["setups"] = [each.name for each in plan.setups]
    result["plan"] = dataclasses.asdict(plan)
    result["targets"] = {name: [dataclasses.asdict(each) for each in rows] for name, rows in found.items()}
    file = ROOT / "bench/results" / f"{now:%Y-%m-%dT%H%M}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")
    text = report.page_text(result, found)
    print(text)
    if options.page:
        report.write_page(text)
    print(f"\nwritten to {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
