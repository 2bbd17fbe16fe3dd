"""Processes of a benchmark: started on a core of their own, waited for, measured, and ended in any case."""

import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


class NotMeasured(Exception):
    """The benchmark cannot go on; the text says why."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cores() -> tuple[int, int]:
    """The core of what is measured, and the core of the load; the same one where there is only one."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


def pinned(core: int, command: Sequence[str]) -> list[str]:
    return ["taskset", "-c", str(core), *command]


@dataclass(slots=True)
class Running:
    """A process that serves on `port`."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def cpu_seconds(self) -> float:
        """CPU time so far, user and system, of the process and its children."""
        return sum(cpu_of(pid) for pid in _family(self.process.pid))

    def resident_mib(self) -> float:
        return sum(_resident(pid) for pid in _family(self.process.pid))

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start(
    command: Sequence[str], port: int, core: int, log: Path, environment: Mapping[str, str], *, seconds: float = 30
) -> Running:
    """Starts a server and waits until it listens; raises NotMeasured with the end of its log if it does not in time."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(core, command), cwd=ROOT, stdout=output, stderr=output, env={**os.environ, **environment}
        )
    running = Running(process, port, log)
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return running
        except OSError:
            time.sleep(0.05)
    running.stop()
    raise NotMeasured(f"{command[0]} does not listen:\n{log.read_text(errors='replace')[-2000:]}")


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in _family(int(child)))]


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used, user and system; 0 if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
