"""Where the gateway's time goes: a flame graph for each load, by py-spy. `make profile` runs it.

The graphs go to var/profiles/. py-spy reads another process's memory, which needs root or `ptrace_scope` 0.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from bench.loads import Bench
from bench.plan import Cell, Plan, Setup, Streams, Whole
from bench.processes import ROOT, NotMeasured, cores
from bench.subjects import Services, Subject, gateway, start_upstreams

LOADS: tuple[Cell, ...] = (
    Whole("2 KB", 16),
    Whole("100 KB", 16),
    Streams(100),
    Streams(100, "anthropic", "bedrock"),
    Streams(100, "bedrock", "anthropic"),
)
OPENING_SECONDS = 1.0  # before a load is in full swing


def profile(bench: Bench, subject: Subject, cell: Cell, seconds: int, folder: Path) -> Path:
    """One load, watched for `seconds`; the file of its flame graph."""
    file = folder / (re.sub(r"[^a-z0-9]+", "-", cell.name.lower()) + ".svg")
    failed: list[NotMeasured] = []

    def load() -> None:
        try:
            bench.run(cell, subject)
        except NotMeasured as error:
            failed.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    thread.join(OPENING_SECONDS)
    command = [
        "py-spy",
        "record",
        "--pid",
        str(subject.server.process.pid),
        "--duration",
        str(seconds),
        "--rate",
        "250",
    ]
    tool = str(Path(sys.executable).parent / command[0])
    done = subprocess.run([tool, *command[1:], "--output", str(file)], capture_output=True, text=True, check=False)
    thread.join()
    if failed:
        raise failed[0]
    if done.returncode:
        raise NotMeasured(f"py-spy failed: {(done.stderr or done.stdout)[-1000:]}")
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="that each load is watched")
    parser.add_argument("--cells", default="", metavar="PATTERN", help="only loads whose names fit")
    options = parser.parse_args()
    if tools := [tool for tool in ("nginx", "wrk", "taskset") if shutil.which(tool) is None]:
        sys.exit(f"profile: {', '.join(tools)} not found; on Debian: apt-get install nginx-light wrk util-linux")
    loads = tuple(each for each in LOADS if re.search(options.cells, each.name))
    plan = Plan(1, options.seconds + 2, options.seconds + 2, loads, (Setup("everything, SQLite"),))
    target = ROOT / "var" / "profiles"
    target.mkdir(parents=True, exist_ok=True)
    core, load_core = cores()
    with tempfile.TemporaryDirectory(prefix="gateway-profile-") as name, ExitStack() as stack:
        folder = Path(name)
        try:
            upstreams = start_upstreams(folder, load_core)
            stack.callback(upstreams.messages.stop)
            stack.callback(upstreams.streams.stop)
            subject = stack.enter_context(gateway(plan.setups[0], folder, upstreams, plan, core, Services("", "")))
            for cell in loads:
                print(profile(Bench(folder, load_core, plan), subject, cell, options.seconds, target).relative_to(ROOT))
        except NotMeasured as error:
            sys.exit(f"profile: {error}")


if __name__ == "__main__":
    main()
