"""Started with the server by test_nothing_in_circles: at SIGUSR1, writes how many exchanges are in memory, alive or not."""

import gc
import os
import signal
from pathlib import Path


def _write(*_: object) -> None:
    count = sum(type(each).__name__ == "Exchange" for each in gc.get_objects())
    Path(os.environ["PROBE_FILE"]).write_text(str(count))


signal.signal(signal.SIGUSR1, _write)
