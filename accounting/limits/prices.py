"""The book of prices, as reservations use it: the dearest that a request can cost. No I/O."""

import time
from collections.abc import Callable

from accounting.limits.estimate import UnitPrices
from accounting.money.price_book import PriceBook

MOST_KEPT = 2_000  # lists of models whose prices are remembered
KEPT_SECONDS = 60.0  # a row may come into force meanwhile

Models = tuple[tuple[str, str], ...]


class BookPrices:
    """`book` gives the prices in force. What was looked up is kept for a minute, while the book is the same."""

    def __init__(self, book: Callable[[], PriceBook], clock: Callable[[], float] = time.time) -> None:
        self._book = book
        self._clock = clock
        self._of: PriceBook | None = None
        self._until = 0.0
        self._known: dict[Models, UnitPrices] = {}

    def ceiling(self, models: Models) -> UnitPrices:
        """The dearest rates among these pairs of provider and upstream model; without any, those of an unknown model. Fast mode
        is left out: nobody reserves five times the price for what hardly anybody asks for."""
        book, now = self._book(), self._clock()
        if book is not self._of or now >= self._until or len(self._known) >= MOST_KEPT:
            self._of, self._until, self._known = book, now + KEPT_SECONDS, {}
        known = self._known.get(models)
        if known is None:
            known = self._known[models] = UnitPrices(*book.ceiling(models or (("", ""),), now, fast=False))
        return known
