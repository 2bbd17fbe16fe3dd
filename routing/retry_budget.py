"""How many further calls a process may make for requests whose first call failed: a part of its live traffic, no more.

When everything fails at once, retries multiply the load on whatever is still up. With this bound they cannot.
"""

SHARE = 0.2  # of the requests in the window
FLOOR = 30  # further calls in any window: as many as a client sends at once when it counts (Claude Code 2.1.330)
# A request that waits for its answer alone is no storm: it may be tried again freely, unless many come one after the other.
QUIET = 1
QUIET_RATE = 5  # requests in the present second
SECONDS = 10  # the window


class RetryBudget:
    """Counts in slots of one second; time is passed in (seconds, any monotonic clock, always the same one).

    Each request: `called`, `take` before every further call, and `answered` in the end, whatever became of it.
    """

    __slots__ = ("_requests", "_retries", "_second", "_waiting")

    def __init__(self) -> None:
        self._requests = [0] * SECONDS
        self._retries = [0] * SECONDS
        self._second = 0
        self._waiting = 0

    def called(self, now: float) -> None:
        """A request makes its first call."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        self._requests[second % SECONDS] += 1
        self._waiting += 1

    def answered(self) -> None:
        """A request has its answer, or none will come."""
        self._waiting -= 1

    def take(self, now: float) -> bool:
        """Whether one further call may be made; if so, it is counted."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        if self._waiting <= QUIET and self._requests[second % SECONDS] <= QUIET_RATE:
            return True
        if sum(self._retries) + 1 > max(FLOOR, SHARE * sum(self._requests)):
            return False
        self._retries[second % SECONDS] += 1
        return True

    def _turn(self, second: int) -> None:
        """Empties the slots of the seconds that have passed."""
        for passed in range(max(self._second + 1, second - SECONDS + 1), second + 1):
            self._requests[passed % SECONDS] = self._retries[passed % SECONDS] = 0
        self._second = max(self._second, second)
