"""The gateway as its users run it: `manage.py` in a process, a data folder of its own, a real port.

A migrated data folder with an API token is made once (`Template`) and copied for each gateway.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import urlencode

from tests.harness.client import Client, Pairs, Reply
from tests.harness.config import KEYS, Config

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 30.0

Record = dict[str, Any]
T = TypeVar("T")


def wait_until(found: Callable[[], T], *, timeout: float = 10, what: str = "") -> T:
    """The first true value of `found()`. Raises AssertionError when there is none in time."""
    limit = time.monotonic() + timeout
    while True:
        value = found()
        if value:
            return value
        if time.monotonic() > limit:
            raise AssertionError(f"not within {timeout} s: {what or found}")
        time.sleep(0.01)


_given_ports: set[int] = set()


def free_port() -> int:
    """A port nobody listens on, and one that this process was not given before: the system may well name one twice."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given_ports:
            _given_ports.add(port)
            return port
    raise AssertionError("no free port in a hundred tries")


def _environment(data: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """A clean environment: nothing of the machine's own configuration reaches the gateway under test."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "GATEWAY_DATA_DIR": str(data),
        "GATEWAY_SECRET_KEY": "a secret key for tests only, long enough for anyone",
        "GATEWAY_DRAIN_SECONDS": "5",
        "PYTHONFAULTHANDLER": "1",
        **extra,
    }


def run_manage(data: Path, *arguments: str, extra: Mapping[str, str] | None = None, text: str = "") -> str:
    """Runs one command to its end. Returns its standard output; raises AssertionError with what it said otherwise."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=_environment(data, extra or {}),
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"manage.py {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class Template:
    """A migrated SQLite data folder, and an administrator's API token in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        run_manage(folder, "migrate", "--verbosity", "0")
        self.token = make_token(folder, {})


def make_token(data: Path, extra: Mapping[str, str]) -> str:
    return run_manage(data, "create_api_token", "--name", "tests", "--admin", extra=extra).strip()


class Gateway:
    """`with Gateway(template, folder, config) as gateway:` is a configured gateway that answers; `port` is its own.

    `environment` adds settings; with a `DATABASE_URL` in it the database is migrated first. `server` chooses the
    production server or the development one; `beside` is another node, whose database and configuration this one shares.
    `arguments` are added to the server's command line. Leaving the block ends the process and fails if it wrote a traceback.
    """

    def __init__(
        self,
        template: Template,
        folder: Path,
        config: Config,
        *,
        environment: Mapping[str, str] | None = None,
        server: Literal["serve", "runserver"] = "serve",
        beside: "Gateway | None" = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.arguments = list(arguments)
        self.data = folder / "data"
        self.errors = folder / "stderr.txt"
        self.config = config
        self.server = server
        self.port = free_port()
        self.extra = dict(environment or {})
        self.process: subprocess.Popen[bytes] | None = None
        shutil.copytree(template.folder, self.data)
        self.token = template.token
        self._shares = beside is not None
        if beside is not None:
            self.token = beside.token
        elif "DATABASE_URL" in self.extra:
            run_manage(self.data, "migrate", "--verbosity", "0", extra=self.extra)
            self.token = make_token(self.data, self.extra)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # Life

    def __enter__(self) -> Self:
        if not self._shares:
            self.import_config(self.config)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        written = self.errors.read_text(errors="replace") if self.errors.exists() else ""
        if "Traceback" in written:
            at = written.index("Traceback")
            raise AssertionError(f"the gateway wrote a traceback:\n{written[max(0, at - 500) : at + 6000]}")

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        if self.server == "runserver":
            address = ["--noreload", f"127.0.0.1:{self.port}"]
        address += self.arguments
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", self.server, *address],
                cwd=ROOT,
                env=_environment(self.data, self.extra),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        wait_until(self._answers, timeout=START_SECONDS, what="the server's first answer")

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.errors.read_text()[-6000:]}")
        try:
            return self.get("/healthz", key="").status == 200
        except OSError:
            return False

    def kill9(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def terminate(self) -> None:
        """Sends SIGTERM and returns at once."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = 20) -> int:
        """The exit status, once the process has ended."""
        assert self.process is not None
        return self.process.wait(timeout)

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError("the server did not end within 15 s of SIGTERM") from None

    def restart(self) -> None:
        self.stop()
        self.start()

    def resident_kib(self) -> int:
        """The process's resident memory."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    # Configuration

    def manage(self, *arguments: str, text: str = "") -> str:
        return run_manage(self.data, *arguments, extra={**self.extra, **self.config.environment}, text=text)

    def import_config(self, config: Config, *options: str) -> str:
        """Applies a configuration; what it does not mention stays."""
        extra = {**self.extra, **config.environment}
        return run_manage(self.data, "import_config", "-", *options, extra=extra, text=config.text())

    # Requests

    def client(self, timeout: float = 10, **options: Any) -> Client:
        return Client(self.port, timeout, **options)

    def post(
        self,
        body: Mapping[str, Any] | bytes,
        path: str = "/v1/messages",
        *,
        key: str = KEYS["main"],
        headers: Pairs = (),
    ) -> Reply:
        """One whole exchange on a connection of its own."""
        with self.client() as client:
            send(client, body, path, key=key, headers=headers)
            return client.reply()

    def get(self, path: str, *, key: str = KEYS["main"], headers: Pairs = (), method: str = "GET") -> Reply:
        carrier = [("authorization", f"Bearer {key}")] if key else []
        with self.client() as client:
            client.request(method, path, [*carrier, ("connection", "close"), *headers])
            return client.reply(method=method)

    # Records

    def records(self, **filters: str) -> list[Record]:
        """Records that fit the filters, newest first."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        found: list[Record] = []
        page = "/api/v1/requests/?" + urlencode({"page_size": 1000, **filters})
        while page:
            connection.request("GET", page, headers={"authorization": f"Bearer {self.token}"})
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            answer = json.loads(body)
            found += answer["results"]
            page = (answer["next"] or "").partition(f"127.0.0.1:{self.port}")[2]
        connection.close()
        return found

    def wait_records(self, count: int = 1, timeout: float = 5, **filters: str) -> list[Record]:
        """The records once there are `count` of them; more than that is a failure too."""
        found: list[Record] = []

        def enough() -> bool:
            found[:] = self.records(**filters)
            return len(found) >= count

        wait_until(enough, timeout=timeout, what=f"{count} records for {filters}")
        assert len(found) == count, [record["request_id"] for record in found]
        return found

    def record(self, request_id: str, timeout: float = 2) -> Record:
        """The one record of a request, which is there within two seconds."""
        return self.wait_records(1, timeout, request_id=request_id)[0]


def send(
    client: Client,
    body: Mapping[str, Any] | bytes,
    path: str = "/v1/messages",
    *,
    key: str = KEYS["main"],
    headers: Pairs = (),
) -> None:
    """Sends an inference request as a client of the Messages API does. A header given here replaces the usual one."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = list(headers)
    given = {name.lower() for name, _ in headers}
    usual = [
        ("authorization", f"Bearer {key}"),
        ("anthropic-version", "2026-10-21"),
        ("content-type", "application/json"),
        ("user-agent", "gateway-tests/1.0"),
    ]
    kept = [(name, value) for name, value in usual if name not in given and (key or name != "authorization")]
    client.request("POST", path, [*kept, *headers], data)
