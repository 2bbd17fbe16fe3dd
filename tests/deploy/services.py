"""A Redis and a PostgreSQL of a test's own, as processes that it may kill: on free ports, gone at the end."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

from tests.harness import wait_until
from tests.harness.process import free_port

START_SECONDS = 30.0


def _missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class OwnRedis:
    """Keeps nothing on disk: killed, it has forgotten everything."""

    def __init__(self) -> None:
        self._program = shutil.which("redis-server") or ""
        if not self._program:
            _missing("redis-server")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: _listens(self.port), timeout=START_SECONDS, what="Redis")

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    stop = kill


class OwnPostgres:
    """A cluster of its own with the durability of a production server; `url` is a database in it."""

    def __init__(self) -> None:
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            _missing("PostgreSQL")
        # Not below pytest's folder: that is for its owner alone, and the server runs as another user.
        folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
        self._programs, self._folder, self.port = found[-1], folder, free_port()
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        self._run("initdb", "--auth=trust", "--username=postgres", f"--pgdata={folder}/data")
        self.start()
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE gateway")
        self.url = self._server.rpartition("/")[0] + "/gateway"

    @property
    def _server(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        self._control("start", f"--log={self._folder}/log", f"--options={options}")

    def stop(self) -> None:
        self._control("stop", "--mode=fast")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def restart(self) -> None:
        """As an upgrade does it: connections are ended, and none is taken until it is back."""
        self.stop()
        self.start()

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", f"--pgdata={self._folder}/data", "--wait", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        own: dict[str, str] = {"user": "postgres"} if os.getuid() == 0 else {}
        done = subprocess.run(
            [f"{self._programs}/{program}", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60, check=False,
            cwd=self._folder, **own,  # type: ignore[call-overload]
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
