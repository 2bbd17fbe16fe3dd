"""Applies the sections prices and unknown_model_price. Rows of prices are only ever added."""

from functools import partial
from typing import Any

from accounting.models import Price
from accounting.money.price_book import RATE_NAMES, number
from accounting.money.price_store import add_price, set_unknown_price
from routing.declarative.problems import Path
from routing.declarative.schema import Item
from routing.declarative.writing import Import

_NAMES: dict[str, Path] = {
    "long_above": ("long_context", "above"),
    **{f"long_{name}": ("long_context", name) for name in RATE_NAMES},
    **{f"fast_{name}": ("fast", name) for name in RATE_NAMES},
}


def write_prices(run: Import, root: Item) -> None:
    """A row that is there already, with the same values, is left alone; with other values it is refused."""
    items = root.lists.get("prices", [])
    for item in items:
        if run.require(item, *RATE_NAMES) and not item.broken:
            run.attempt(item, partial(add_price, run.change, Price(**_columns(item))), _NAMES)
    if run.prune and items:
        run.notes.append("prices that the file does not mention stay: rows of prices are never removed")
    values = root.values.get("unknown_model_price")
    if values:
        here = Item((*root.path, "unknown_model_price"))
        run.attempt(here, partial(set_unknown_price, run.change, values))


def _columns(item: Item) -> dict[str, Any]:
    columns = dict(item.values)
    for prefix, part in (("long_", "long_context"), ("fast_", "fast")):
        columns |= {f"{prefix}{name}": value for name, value in (columns.pop(part, None) or {}).items()}
    if "geo_multipliers" in columns:
        columns["geo_multipliers"] = {name: number(value) for name, value in columns["geo_multipliers"].items()}
    return columns
