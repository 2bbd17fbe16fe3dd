"""A process to be killed: records requests as fast as it can, and names each on standard output once it is recorded."""

import sys
from itertools import count
from pathlib import Path

import django


def main(root: Path) -> None:
    django.setup()
    from accounting.money.entry import Entry
    from accounting.money.recorder import Recorder
    from accounting.money.store import store_records

    recorder = Recorder(root, store=store_records, interval=0.02, segment_bytes=20_000)
    recorder.start()
    for number in count():
        entry = Entry(request_id=f"req_{number}", started_at=1_800_000_000.0 + number, team="platform", status=200)
        recorder.opened(entry)
        if number % 100 == 99:
            continue  # this one never ends
        entry.outcome = "served"
        recorder.finished(entry)
        sys.stdout.write(f"{entry.request_id}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
