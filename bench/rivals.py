"""Other gateways before the same upstreams, by flag. Each is installed into an environment of its own under var/bench/."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import yaml

from bench.plan import Cell, Plan, Streams, Whole, models
from bench.processes import ROOT, NotMeasured, free_port, start
from bench.subjects import KEY, Subject, Upstreams

LITELLM = "litellm[proxy]"


def takes(cell: Cell) -> bool:
    """Whether a rival is asked this: whole answers up to 100 KB, and streams of one format."""
    if isinstance(cell, Whole):
        return cell.size != "1 MB" and cell.connections <= 16
    return isinstance(cell, Streams) and cell.client == cell.upstream and cell.count <= 100


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
        yield Subject("litellm", server, port, port)
    finally:
        server.stop()


Start = Callable[[Path, Upstreams, Plan, int], AbstractContextManager[Subject]]
STARTS: dict[str, Start] = {"litellm": litellm}
