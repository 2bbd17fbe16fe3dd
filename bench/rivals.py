"""Other gateways before the same upstreams, by flag. Each is installed into an environment of its own under var/bench/."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import yaml

from bench.loads import body
from bench.plan import SIZES, Cell, Plan, Streams, Whole, models
from bench.processes import ROOT, NotMeasured, free_port, start
from bench.subjects import KEY, Subject, Upstreams

LITELLM = "litellm[proxy]"


def takes(cell: Cell) -> bool:
    """Whether a rival is asked this: whole answers up to 100 KB, and streams of one format."""
    if isinstance(cell, Whole):
        return cell.size != "1 MB" and cell.connections <= 16
    return isinstance(cell, Streams) and cell.client == cell.upstream and cell.count <= 100


def first_answer(port: int, request: bytes, *, seconds: float) -> None:
    """Waits until a request gets a good answer; raises NotMeasured with the last bad one."""
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", "anthropic-version": "2023-06-01"}
    limit, said = time.monotonic() + seconds, b""
    while time.monotonic() < limit:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("POST", "/v1/messages", request, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status == 200:
                return
        except (OSError, http.client.HTTPException) as error:
            said = repr(error).encode()
        finally:
            connection.close()
        time.sleep(0.5)
    raise NotMeasured(f"no good answer within {seconds:.0f} s: {said[:500].decode(errors='replace')}")


def _installed(name: str, package: str) -> Path:
    """The folder with the programs of an environment that has `package`; made the first time."""
    folder = ROOT / "var" / "bench" / name
    done = folder / "installed"
    if not done.exists():
        print(f"installing {package} into {folder.relative_to(ROOT)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = subprocess.run(
            [folder / "bin/pip", "install", "--quiet", package], capture_output=True, text=True, check=False
        )
        if pip.returncode:
            raise NotMeasured(f"{package} cannot be installed: {pip.stderr[-1000:]}")
        done.touch()
    return folder / "bin"


@contextmanager
def litellm(folder: Path, upstreams: Upstreams, plan: Plan, core: int) -> Iterator[Subject]:
    """LiteLLM's proxy with one worker, a key and no database, as its page on production advises."""
    programs = _installed("litellm", LITELLM)
    served = [("bench", upstreams.messages.port), *((name, upstreams.streams.port) for name in models(plan)[0])]
    document = {
        "model_list": [
            {"model_name": name, "litellm_params": {
                "model": f"anthropic/{name}", "api_base": f"http://127.0.0.1:{port}", "api_key": "an-upstream-key"}}
            for name, port in served
        ],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"telemetry": False, "set_verbose": False},
    }  # fmt: skip
    config = folder / "litellm.yaml"
    config.write_text(yaml.safe_dump(document))
    port = free_port()
    environment = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "HOME": str(folder),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    command = [
        str(programs / "litellm"),
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    server = start(command, port, core, folder / "litellm.log", environment, seconds=180)
    try:
        first_answer(port, body(SIZES["2 KB"], "bench", stream=False), seconds=120)
        yield Subject("litellm", server, port, port)
    finally:
        server.stop()


Start = Callable[[Path, Upstreams, Plan, int], AbstractContextManager[Subject]]
STARTS: dict[str, Start] = {"litellm": litellm}
