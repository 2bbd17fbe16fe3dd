"""The limits of a caller for one request, with their numbers, for people. Nothing is reserved."""

from collections.abc import Callable, Sequence

from accounting.access.directory import Directory
from accounting.access.grant import Grant
from routing.explaining.decision import LimitLine
from routing.formats.base import Inbound
from routing.targets import TargetConf

LimitsOf = Callable[[Grant, Inbound, Sequence[TargetConf]], tuple[LimitLine, ...]]


def limits_of(directory: Directory, now: float) -> LimitsOf:
    """How the limits of a caller stand at a Unix time."""
    return lambda grant, inbound, targets: ()
