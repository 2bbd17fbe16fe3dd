"""All prices as one frozen picture: which row is in force for a provider's model at a moment. Pure.

The first rule that tells two rows apart decides: an administrator's row before a shipped one, a provider's own before one
for all, the model pattern with more literal characters, the later `valid_from`, the newer row.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, Context, Decimal
from functools import lru_cache
from typing import Any

import msgspec

from accounting.access.patterns import matches

STANDARD, LONG, FAST = "standard", "long_context", "fast"
BATCH = "batch"  # the service tier of batches
REGIONAL = "regional"  # among `geo_multipliers`: an endpoint of a cloud that is not its global one
ANY = "*"
MOST_CACHED = 4096
NANO = Decimal(1000)  # nano-dollars for each token at a dollar per million
_ROUND_UP = Context(prec=80, rounding=ROUND_CEILING)
_EXACT = Context(prec=200)
_ONE = Decimal(1)
PLACES = 12  # decimal places of a cost that are stored
# Spellings of one model: `us.anthropic.claude-opus-4-5-20251101-v1:0`, `claude-opus-4-5@20251101`, an ARN's last part.
_SPELLING = re.compile(
    r"(?:.*/)?(?:[a-z-]+\.)?(?:anthropic\.)?(claude-[a-z0-9-]*?[a-z0-9])"
    r"(?:-20\d{6}|-latest)?(?:-v\d+(?::\w+)*)?(?:@\w+)?(?:\[1m\])?"
)


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars for a million tokens of each kind."""

    input: Decimal
    output: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    cache_read: Decimal


class Tariff(msgspec.Struct, frozen=True):
    """One band of a row with its multipliers, ready to be applied in whole numbers: what a token of each kind and a web search
    cost, in units of `10 ** -places` dollars, which all of them are multiples of. `shown` is the price as records keep it; it
    is shared between lines, and nobody changes it."""

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    search: int
    places: int
    shown: dict[str, Any]


RATE_NAMES = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")


@dataclass(frozen=True, slots=True, eq=False)
class PriceRow:
    """One row of prices. `long` counts for prompts of more than `above` tokens, `fast` for answers in fast mode.

    `id` and `valid_from` are None for the price of models that have none.
    """

    id: int | None
    provider: str
    model: str
    valid_from: datetime | None
    rates: Rates
    above: int | None = None
    long: Rates | None = None
    fast: Rates | None = None
    batch: Decimal = _ONE
    geo: Mapping[str, Decimal] = field(default_factory=dict)
    web_search_per_1000: Decimal = Decimal(10)
    shipped: bool = False
    _tariffs: dict[tuple[str, Decimal, Decimal], Tariff] = field(init=False, default_factory=dict)

    def fits(self, provider: str, model: str) -> bool:
        """A shipped row is for every spelling of its model, an administrator's for the ids that its pattern fits."""
        if self.provider not in (ANY, provider):
            return False
        return matches(self.model, model) or (self.shipped and self.model == canonical(model))

    @property
    def rank(self) -> tuple[bool, bool, int, float, int]:
        since = self.valid_from.timestamp() if self.valid_from else 0.0
        literal = len(self.model) - self.model.count("*")
        return (not self.shipped, self.provider != ANY, literal, since, self.id or 0)

    def shown(self, band: str, rates: Rates, batch: Decimal, geo: Decimal) -> dict[str, Any]:
        """The price as records keep it and the REST API shows it."""
        return self.tariff(band, rates, batch, geo).shown

    def tariff(self, band: str, rates: Rates, batch: Decimal, geo: Decimal) -> Tariff:
        """The rates of a band, multiplied. What was worked out is kept."""
        known = self._tariffs.get((band, batch, geo))
        if known is None:
            known = self._tariffs[band, batch, geo] = self._worked_out(band, rates, batch, geo)
        return known

    def _worked_out(self, band: str, rates: Rates, batch: Decimal, geo: Decimal) -> Tariff:
        multipliers = {name: number(value) for name, value in (("batch", batch), ("geo", geo)) if value != _ONE}
        shown = {
            "id": self.id,
            "provider": self.provider,
            "model": self.model,
            "valid_from": self.valid_from.isoformat().replace("+00:00", "Z") if self.valid_from else None,
            **{name: number(getattr(rates, name)) for name in RATE_NAMES},
            "band": band,
            "multipliers": multipliers,
            "web_search_per_1000": number(self.web_search_per_1000),
        }
        factor = _EXACT.multiply(batch, geo)
        kinds = (rates.input, rates.output, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h)
        each = [_EXACT.multiply(rate, factor).scaleb(-6, _EXACT) for rate in kinds]
        each.append(self.web_search_per_1000.scaleb(-3, _EXACT))
        places = max(PLACES, *(-int(price.as_tuple().exponent) for price in each))
        input_, output, read, short, long, search = [int(price.scaleb(places, _EXACT)) for price in each]
        return Tariff(input_, output, read, short, long, search, places, shown)


UNKNOWN = PriceRow(
    None,
    ANY,
    ANY,
    None,
    Rates(Decimal(15), Decimal(75), Decimal("18.75"), Decimal(30), Decimal("1.5")),
)


class PriceBook:
    """Every row as of `revision`. Never changes; a newer one replaces it whole. What was looked up is kept, within bounds."""

    __slots__ = ("_known", "revision", "rows", "unknown")

    def __init__(self, revision: int = -1, rows: Iterable[PriceRow] = (), unknown: PriceRow = UNKNOWN) -> None:
        self.revision = revision
        self.rows: tuple[PriceRow, ...] = tuple(sorted(rows, key=lambda row: row.rank, reverse=True))
        self.unknown = unknown
        self._known: dict[tuple[str, str], tuple[tuple[float, PriceRow], ...]] = {}

    def row(self, provider: str, model: str, at: float) -> PriceRow | None:
        """The row in force at a Unix time; None if the model has no price."""
        for since, row in self._candidates(provider, model):
            if since <= at:
                return row
        return None

    def ceiling(
        self, models: Sequence[tuple[str, str]], at: float, *, fast: bool = True, prompt: int | None = None
    ) -> tuple[int, int]:
        """The dearest a token can be at any of these (provider, model): of the prompt, a cache write included, and of the
        output, in nano-dollars rounded up. Without `fast`, fast mode is left out; `prompt` is the longest that it can be."""
        dearest_input = dearest_output = Decimal(0)
        for provider, model in models:
            row = self.row(provider, model, at) or self.unknown
            factor = max(_ONE, *row.geo.values()) if row.geo else _ONE
            factor *= max(_ONE, row.batch)
            long = row.long if row.above is None or prompt is None or prompt > row.above else None
            for rates in (row.rates, long, row.fast if fast else None):
                if rates is not None:
                    inputs = (rates.input, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h)
                    dearest_input = max(dearest_input, max(inputs) * factor)
                    dearest_output = max(dearest_output, rates.output * factor)
        return _nano(dearest_input), _nano(dearest_output)

    def _candidates(self, provider: str, model: str) -> tuple[tuple[float, PriceRow], ...]:
        known = self._known.get((provider, model))
        if known is None:
            if len(self._known) >= MOST_CACHED:
                self._known.clear()
            known = tuple(
                (row.valid_from.timestamp() if row.valid_from else 0.0, row)
                for row in self.rows
                if row.fits(provider, model)
            )
            self._known[provider, model] = known
        return known


@lru_cache(maxsize=MOST_CACHED)
def canonical(model: str) -> str:
    """A model's plain name, whatever region, date or version an upstream's id of it carries; "" for other ids."""
    found = _SPELLING.fullmatch(model)
    return found[1] if found else ""


def same_model(one: str, two: str) -> bool:
    """Whether two ids are spellings of one model."""
    return one == two or bool(canonical(one) and canonical(one) == canonical(two))


def number(value: Decimal) -> str:
    """A decimal without needless zeros and without an exponent."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _nano(rate: Decimal) -> int:
    return int(_ROUND_UP.multiply(rate, NANO).to_integral_value(rounding=ROUND_CEILING))
