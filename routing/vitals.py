"""The figures of one target over the last minute, kept so cheaply that every request can pay for it. Time is passed in."""

SLOT = 5  # seconds
SLOTS = 12
WINDOW = float(SLOT * SLOTS)
MOST_TIMES = 256  # the last times to the first byte that are kept
GOOD, BAD, LIMITED = 0, 1, 2


class Vitals:
    """Counts of good answers, failures and 429s in slots of five seconds; the last times to the first byte."""

    __slots__ = ("_counts", "_next", "_slots", "_times")

    def __init__(self) -> None:
        self._slots = [-1] * SLOTS
        self._counts = [[0, 0, 0] for _ in range(SLOTS)]
        self._times: list[float] = []
        self._next = 0

    def count(self, now: float, what: int) -> None:
        """One more of GOOD, BAD or LIMITED."""
        number = int(now) // SLOT
        place = number % SLOTS
        if self._slots[place] != number:
            self._slots[place] = number
            self._counts[place] = [0, 0, 0]
        self._counts[place][what] += 1

    def died(self, now: float) -> None:
        """An answer that was counted as good was none: it broke off."""
        self.count(now, BAD)
        number = int(now) // SLOT
        for back in range(SLOTS):
            place = (number - back) % SLOTS
            if self._slots[place] == number - back and self._counts[place][GOOD]:
                self._counts[place][GOOD] -= 1
                return

    def took(self, seconds: float) -> None:
        """A first byte came after so long."""
        if len(self._times) < MOST_TIMES:
            self._times.append(seconds)
            return
        self._times[self._next] = seconds
        self._next = (self._next + 1) % MOST_TIMES

    def within(self, now: float, span: float = WINDOW) -> tuple[int, int, int]:
        """How many were good, bad and limited in the last `span` seconds, at most a minute, to the slot."""
        last = int(now) // SLOT
        first = last - min(SLOTS, max(1, -int(-span // SLOT))) + 1
        sums = [0, 0, 0]
        for number, counts in zip(list(self._slots), list(self._counts), strict=True):
            if first <= number <= last:
                for what in (GOOD, BAD, LIMITED):
                    sums[what] += counts[what]
        return sums[GOOD], sums[BAD], sums[LIMITED]

    def times(self) -> list[float]:
        """The kept times to the first byte in seconds, the shortest first."""
        return sorted(self._times)


def quantile(ordered: list[float], share: float) -> float | None:
    """The value below which `share` of an ordered list lies; None for an empty one."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def thinned(ordered: list[float], most: int) -> tuple[float, ...]:
    """At most so many values of an ordered list, evenly spread over it."""
    if len(ordered) <= most:
        return tuple(ordered)
    return tuple(ordered[int((step + 0.5) * len(ordered) / most)] for step in range(most))
