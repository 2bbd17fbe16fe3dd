"""Started with the server by test_nothing_in_circles: at SIGUSR1, writes how many exchanges and client connections are in
memory, alive or not."""

import gc
import os
import signal
from pathlib import Path


def _write(*_: object) -> None:
    names = [type(each).__name__ for each in gc.get_objects()]
    Path(os.environ["PROBE_FILE"]).write_text(f"{names.count('Exchange')} {names.count('GuardedConnection')}")


signal.signal(signal.SIGUSR1, _write)
