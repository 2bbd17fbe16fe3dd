"""Runs one cell against one subject, and measures: what the load saw, and what the subject spent."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.plan import FLOOD, SIZES, Cell, Open, Plan, Quiet, Stalled, Streams, Whole, quiet_model, stream_model
from bench.processes import ROOT, NotMeasured, pinned
from bench.subjects import KEY, Subject

Figures = dict[str, float]
STALLED_SECONDS = 3


def body(size: int, model: str, *, stream: bool, client: str = "anthropic") -> bytes:
    """A request of about `size` bytes, shaped like an agent's: system text, a long history, a question."""
    head = {"model": model, "stream": stream} if client == "anthropic" else {"anthropic_version": "bedrock-2023-05-31"}
    filler = "The quick brown fox jumps over the lazy dog, and the gateway passes it on. "
    text = (filler * (size // len(filler) + 1))[: max(10, size - 250)]
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}, {"role": "user", "content": "Go on."}]
    return json.dumps(head | {"max_tokens": 1000, "system": "You are terse.", "messages": messages}).encode()


@dataclass(frozen=True, slots=True)
class Bench:
    """Where loads run: a folder for bodies, the load's core, the plan's durations."""

    folder: Path
    core: int
    plan: Plan

    def run(self, cell: Cell, subject: Subject) -> Figures:
        """The figures of one cell; `errors` is among them. Raises `NotMeasured` if the load itself failed. What the load before
        has left, such as large bodies that are still on their way to an upstream, is over before it begins."""
        _come_to_rest(subject)
        if isinstance(cell, Whole):
            return self._whole(cell, subject)
        if isinstance(cell, Streams):
            return self._streams(cell, subject)
        if isinstance(cell, Quiet):
            return self._quiet(cell, subject)
        if isinstance(cell, Open):
            return self._open(cell, subject)
        return self._stalled(cell, subject)

    def _whole(self, cell: Whole, subject: Subject, seconds: int = 0) -> Figures:
        file = self._file(body(SIZES[cell.size], "bench", stream=False))
        command = ["wrk", "-t1", f"-c{cell.connections}", f"-d{seconds or self.plan.seconds}s", "--latency"]
        command += ["--timeout", "20s", "-s", str(ROOT / "bench/post.lua"), f"http://127.0.0.1:{subject.port}"]
        before = subject.server.cpu_seconds()
        done = subprocess.run(
            pinned(self.core, command),
            env={**os.environ, "BENCH_BODY": str(file), "BENCH_KEY": KEY},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        cpu = subject.server.cpu_seconds() - before
        if done.returncode:
            raise NotMeasured(f"wrk failed: {done.stderr or done.stdout}")
        found: Figures = json.loads(done.stdout.strip().splitlines()[-1])
        if not found["requests"]:
            raise NotMeasured(f"{subject.name} answered nothing in {cell.name}")
        return {
            "per_second": found["requests"] / found["seconds"],
            "p50_ms": found["p50_ms"],
            "p99_ms": found["p99_ms"],
            "cpu_us": cpu / found["requests"] * 1e6,
            "errors": found["errors"],
        }

    def _open(self, cell: Open, subject: Subject) -> Figures:
        file = self._file(body(SIZES[cell.size], "bench", stream=False))
        command = [sys.executable, "-m", "bench.open_loop", str(subject.port), KEY, str(file)]
        command += ["--rate", str(cell.rate), "--seconds", str(self.plan.seconds + 1), "--burst", str(cell.burst)]
        before = subject.server.cpu_seconds()
        done = subprocess.run(pinned(self.core, command), cwd=ROOT, capture_output=True, text=True, check=False)
        cpu = subject.server.cpu_seconds() - before
        if done.returncode:
            raise NotMeasured(f"the open load failed: {done.stderr[-2000:]}")
        found: Figures = json.loads(done.stdout.strip().splitlines()[-1])
        return {**found, "cpu_us": cpu / max(1.0, found.pop("requests")) * 1e6}

    def _streams(self, cell: Streams, subject: Subject) -> Figures:
        model = stream_model(self.plan.stream_seconds, cell.upstream)
        file = self._file(body(SIZES[cell.size], model, stream=True, client=cell.client))
        limit = 10 + 3 * self.plan.stream_seconds
        options = ["--limit", str(limit), *(["--bedrock", model] if cell.client == "bedrock" else [])]
        before = subject.server.cpu_seconds()
        with self._load(subject, cell.count, file, *options) as load:
            resident = subject.server.resident_mib()
            found = _result(load, limit + 30)
        cpu = subject.server.cpu_seconds() - before
        return {**found, "cpu_us": cpu / max(1, found["events"]) * 1e6, "resident_mib": resident}

    def _quiet(self, cell: Quiet, subject: Subject) -> Figures:
        file = self._file(body(SIZES[cell.size], quiet_model(), stream=True))
        before = subject.server.resident_mib()
        with self._load(subject, cell.count, file) as load:
            grown = subject.server.resident_mib() - before
            found = _result(load, 60)
        return {"kib_per_stream": grown * 1024 / cell.count, "errors": found["errors"]}

    def _stalled(self, cell: Stalled, subject: Subject) -> Figures:
        """Memory for each stalled reader, its growth while they stall, and what others meanwhile wait for an answer."""
        file = self._file(body(SIZES["2 KB"], FLOOD, stream=True))
        before = subject.server.resident_mib()
        with self._load(subject, cell.count, file, "--stalled") as load:
            _come_to_rest(subject)
            self._whole(Whole("2 KB", 16), subject, 1)
            first = subject.server.resident_mib()
            others = self._whole(Whole("2 KB", 16), subject, STALLED_SECONDS)
            grown = subject.server.resident_mib() - first
            found = _result(load, 60)
        return {
            "kib_per_reader": (first - before) * 1024 / cell.count,
            "grown_mib": grown,
            "others_p50_ms": others["p50_ms"],
            "errors": found["errors"] + others["errors"],
        }

    @contextmanager
    def _load(self, subject: Subject, count: int, file: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
        """A load of streams, all of which are open."""
        command = [
            sys.executable,
            "-m",
            "bench.streams",
            str(subject.stream_port),
            str(count),
            KEY,
            str(file),
            *options,
        ]
        with subprocess.Popen(
            pinned(self.core, command), cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            try:
                assert process.stdout is not None
                if process.stdout.readline().strip() != "open":
                    raise NotMeasured(f"the stream load failed: {process.communicate()[1][-2000:]}")
                yield process
            finally:
                process.kill()

    def _file(self, content: bytes) -> Path:
        file = self.folder / "body.json"
        file.write_bytes(content)
        return file


def _come_to_rest(subject: Subject) -> None:
    """Until the kernel's buffers are full and the subject has nothing to do any more."""
    for _ in range(60):
        before = subject.server.cpu_seconds()
        time.sleep(0.5)
        if subject.server.cpu_seconds() - before < 0.05:
            return
    raise NotMeasured(f"{subject.name} goes on reading for clients that do not")


def _result(load: "subprocess.Popen[str]", limit: float) -> Figures:
    try:
        said, wrong = load.communicate("\n", timeout=limit)
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"the stream load did not end within {limit:.0f} s") from None
    try:
        found: Figures = json.loads(said.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise NotMeasured(f"the stream load failed: {wrong[-2000:]}") from None
    return found
