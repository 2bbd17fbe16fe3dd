#!/usr/bin/env python
"""Django's command line, with one clear line instead of a traceback when a setting is unusable."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    from django.core.management import execute_from_command_line

    from gateway_project.environment import UnusableSetting

    try:
        execute_from_command_line(sys.argv)
    except UnusableSetting as error:
        sys.exit(f"gateway: {error}")


if __name__ == "__main__":
    main()
