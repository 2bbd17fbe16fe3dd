"""Times to the first byte, out of the histogram that roll-ups keep: percentiles, interpolated. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accounting.models.rollups import TTFT_BOUNDS

COLUMNS = ("ttft_count", "ttft_us", *(f"ttft_{bound}" for bound in TTFT_BOUNDS))
LONGEST = float(TTFT_BOUNDS[-1])  # milliseconds; what took longer is only counted


@dataclass(frozen=True, slots=True)
class FirstBytes:
    """How many answers began, how long they took together, and how many fell below each of `TTFT_BOUNDS` (and above the
    one before)."""

    count: int = 0
    microseconds: int = 0
    buckets: tuple[int, ...] = (0,) * len(TTFT_BOUNDS)

    @classmethod
    def of(cls, values: Sequence[Any]) -> "FirstBytes":
        """From the sums of `COLUMNS`."""
        count, microseconds, *buckets = map(int, values)
        return cls(count, microseconds, tuple(buckets))

    def __add__(self, other: "FirstBytes") -> "FirstBytes":
        buckets = tuple(mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True))
        return FirstBytes(self.count + other.count, self.microseconds + other.microseconds, buckets)

    @property
    def mean(self) -> float | None:
        """Milliseconds."""
        return self.microseconds / 1000 / self.count if self.count else None

    def percentile(self, percent: int) -> float | None:
        """The milliseconds that `percent` of the answers did not exceed: exact in the bucket, even within it. `LONGEST` if it
        lies above all bounds; None without answers."""
        if not self.count:
            return None
        wanted, below, lower = self.count * percent / 100, 0, 0
        for bound, count in zip(TTFT_BOUNDS, self.buckets, strict=True):
            if count and below + count >= wanted:
                return lower + (bound - lower) * max(0.0, wanted - below) / count
            below, lower = below + count, bound
        return LONGEST


NOTHING = FirstBytes()
