"""`python -m tests.fake_provider`: the fake provider as a process of its own; prints its address.

On SIGTERM it prints what it saw, as one JSON line: requests, violations, the books.
"""

import argparse
import json
import os
import signal
import sys
from types import FrameType

from tests.fake_provider.rules import Expected
from tests.fake_provider.server import FakeProvider


def main() -> None:
    parser = argparse.ArgumentParser(description="A strict stand-in for a provider")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--credential", default="x-api-key:sk-ant-upstream-credential-0001", help="NAME:VALUE")
    options = parser.parse_args()
    name, _, value = options.credential.partition(":")
    provider = FakeProvider(expected=Expected(credential=(name, value)), port=options.port)

    def report(number: int, frame: FrameType | None) -> None:
        seen = {"requests": len(provider.received), "violations": provider.violations, "books": provider.books}
        sys.stdout.write(json.dumps(seen) + "\n")
        sys.stdout.flush()
        os._exit(0)

    signal.signal(signal.SIGTERM, report)

    def announce(url: str) -> None:
        sys.stdout.write(url + "\n")
        sys.stdout.flush()

    provider.run(announce)


if __name__ == "__main__":
    main()
