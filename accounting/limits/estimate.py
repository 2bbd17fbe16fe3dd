"""What a request will use, guessed before it is sent, and better guessed with every answer. No I/O.

Input comes from the size of the body, by how many tokens a byte has had for this caller and model; output from `max_tokens`,
capped by the most that this caller's latest answers of the model had. What remains too high (prompts read from a cache cost
a tenth) is taken off by what the latest requests have cost in relation to such a guess. `strict` takes nothing off.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from accounting.limits.counters import Wish
from accounting.limits.terms import STRICT

LATEST = 50  # answers that a guess is made from
MOST_REMEMBERED = 20_000  # pairs of caller and model
TOKENS_PER_BYTE = 0.3  # of a body that nobody has counted yet; English prose has 0.25
LEARNING = 0.2  # weight of the newest answer
UNSAID = 4096  # output tokens of a request without max_tokens
LEAST_OUTPUT = 64
MOST_OUTPUT = 1_000_000  # tokens that anybody is believed to want
INFORMED = 3  # answers after which a guess counts as one
TRUSTED = 10  # guesses after which their errors are believed
MARGIN = 1.25  # on what the dearest of the latest requests has cost
LEAST_MARGIN = 0.98  # on the cheapest
_K = TypeVar("_K")
_V = TypeVar("_V")
_N = TypeVar("_N", int, float)


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """Nano-dollars for one token."""

    input: int
    output: int


class Prices(Protocol):
    def ceiling(self, models: tuple[tuple[str, str], ...]) -> UnitPrices:
        """The dearest rates among these pairs of provider and upstream model, one of which will serve the request."""
        ...


class Guess(msgspec.Struct, frozen=True):
    """`full` is the cost without what experience takes off; `informed` whether there was any experience."""

    wish: Wish
    full: int
    informed: bool


class _Latest(Generic[_N]):
    """The latest numbers of a kind, how many they are, and their extremes."""

    __slots__ = ("_values", "count", "least", "most")

    def __init__(self, none: _N) -> None:
        self._values: deque[_N] = deque(maxlen=LATEST)
        self.count = 0
        self.least: _N = none
        self.most: _N = none

    def add(self, value: _N) -> None:
        values = self._values
        gone = None
        if self.count == LATEST:
            gone = values[0]
        else:
            self.count += 1
        values.append(value)
        if gone == value:
            return
        if self.count == 1 or gone == self.least or gone == self.most:
            self.least, self.most = min(values), max(values)
        elif value > self.most:
            self.most = value
        elif value < self.least:
            self.least = value


class _Experience:
    """What one caller's requests to one model have been like."""

    __slots__ = ("count", "outputs", "shares", "tokens_per_byte")

    def __init__(self, tokens_per_byte: float) -> None:
        self.count = 0
        self.tokens_per_byte = tokens_per_byte
        self.outputs: _Latest[int] = _Latest(0)
        self.shares: _Latest[float] = _Latest(0.0)


class Estimator:
    """One of a process. Callers that are new to a model begin with what it is like for the others."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], _Experience] = OrderedDict()
        self._models: OrderedDict[str, float] = OrderedDict()

    def guess(
        self, caller: str, model: str, *, size: int, max_tokens: int | None, prices: UnitPrices, reservation: str
    ) -> Guess:
        known = self._known.get((caller, model))
        rate = known.tokens_per_byte if known else self._models.get(model, TOKENS_PER_BYTE)
        input_tokens = int(size * rate) + 1
        output_tokens = UNSAID if max_tokens is None else min(max_tokens, MOST_OUTPUT)
        informed = known is not None and known.count >= INFORMED
        if known is None or reservation == STRICT:
            full = input_tokens * prices.input + output_tokens * prices.output
            least = full if reservation == STRICT else 0
            return Guess(Wish(full, least, input_tokens, output_tokens), full, informed)
        if informed:
            output_tokens = min(output_tokens, max(LEAST_OUTPUT, known.outputs.most))
        full = input_tokens * prices.input + output_tokens * prices.output
        shares = known.shares
        if shares.count < INFORMED:
            return Guess(Wish(full, 0, input_tokens, output_tokens), full, informed)
        least = int(full * min(shares.least, 1.0) * LEAST_MARGIN)
        cost = full if shares.count < TRUSTED else max(least, int(full * min(1.0, shares.most * MARGIN)))
        return Guess(Wish(cost, least, input_tokens, output_tokens), full, informed)

    def learn(self, caller: str, model: str, guess: Guess, *, size: int, cost: int, used: tuple[int, int]) -> None:
        """Takes in what a request has really used: (input tokens, output tokens)."""
        input_tokens, output_tokens = used
        if not input_tokens:
            return
        rate = input_tokens / max(1, size)
        general = self._models.get(model, rate)
        _keep(self._models, model, general + LEARNING * (rate - general))
        who = (caller, model)
        known = self._known.get(who) or _Experience(rate)
        _keep(self._known, who, known)
        known.tokens_per_byte += LEARNING * (rate - known.tokens_per_byte)
        known.count += 1
        known.outputs.add(output_tokens)
        if guess.informed and guess.full:
            known.shares.add(cost / guess.full)


def _keep(table: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    """Puts a value in last place, and drops the first ones beyond the bound."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > MOST_REMEMBERED:
        table.popitem(last=False)
