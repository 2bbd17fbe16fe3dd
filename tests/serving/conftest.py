"""Fixtures of this room: the servers as processes, started as an operator starts them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.harness import Template, wait_until
from tests.harness.process import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/15")


class Command:
    """`manage.py` with arguments, as a process that writes to a file."""

    def __init__(self, folder: Path, *arguments: str, settings: Mapping[str, str]) -> None:
        self._output = folder / f"output-{time.monotonic_ns()}.txt"
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env={**environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def text(self) -> str:
        return self._output.read_text(errors="replace")

    def wait_for(self, words: str, *, timeout: float = 30) -> str:
        """All that it wrote, once these words are among it; fails if the process ends without them."""

        def found() -> bool:
            ended = self.process.poll() is not None
            written = words in self.text()
            assert written or not ended, f"ended with {self.process.returncode}:\n{self.text()}"
            return written

        wait_until(found, timeout=timeout, what=f"{words!r} in:\n{self.text()}")
        return self.text()

    def result(self, timeout: float = 40) -> int:
        return self.process.wait(timeout)

    def workers(self) -> set[int]:
        """Process ids of the children."""
        pid = self.process.pid
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


Run = Callable[..., Command]


@pytest.fixture
def data(tmp_path: Path, template: Template) -> Path:
    """A migrated, empty data folder."""
    folder = tmp_path / "data"
    shutil.copytree(template.folder, folder)
    return folder


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Iterator[Run]:
    """Starts commands on the data folder, and kills what still runs at the end."""
    started: list[Command] = []

    def start(*arguments: str, **settings: str) -> Command:
        command = Command(tmp_path, *arguments, settings={"GATEWAY_DATA_DIR": str(data), **settings})
        started.append(command)
        return command

    yield start
    for command in started:
        if command.process.poll() is None:
            command.process.kill()
            command.process.wait(10)
