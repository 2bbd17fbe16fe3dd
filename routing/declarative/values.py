"""Readers of single values: each takes what YAML gave and returns it in our type, or raises `Wrong`."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from routing.declarative.problems import Path
from routing.declarative.substitution import Substituted, Unknown

Reader = Callable[[Any], Any]
T = TypeVar("T")
MOST_LARGE = 10**15
MOST = 2_147_483_647  # what every database keeps in a whole number


class Wrong(Exception):
    """A value of the wrong type. `parts` are the reasons, each with the steps from the value to the part that is wrong."""

    def __init__(self, text: str = "", *, parts: Iterable[tuple[Path, str]] = ()) -> None:
        super().__init__(text)
        self.parts = tuple(parts) or (((), text),)


class Unreadable(Exception):
    """A value that could not be replaced; its problem is reported already."""


def text(value: Any) -> str:
    if isinstance(value, Unknown):
        raise Unreadable
    if not isinstance(value, str):
        hint = "; write it in quotes" if isinstance(value, bool | int | float | date) else ""
        raise Wrong(f"not a text{hint}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Wrong("not a text: half a character") from None
    if "\0" in value:
        raise Wrong("a text cannot have a NUL character")
    return str(value)


def whole_number(value: Any) -> int:
    if isinstance(value, Substituted) and value.strip().isascii() and value.strip().isdigit():
        value = int(value) if len(value) < 20 else MOST + 1
    if isinstance(value, Unknown):
        raise Unreadable
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong("not a whole number")
    if not 0 <= value <= MOST:
        raise Wrong(f"not between 0 and {MOST}")
    return value


def small_number(value: Any) -> int:
    number = whole_number(value)
    if number > 32_767:
        raise Wrong("not between 0 and 32767")
    return number


def seconds(value: Any) -> Decimal:
    if isinstance(value, Unknown):
        raise Unreadable
    if isinstance(value, bool) or not isinstance(value, int | float | Substituted):
        raise Wrong("not a number of seconds")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise Wrong("not a number of seconds") from None
    if not number.is_finite():
        raise Wrong("not a number of seconds")
    return number


def large_number(value: Any) -> int:
    if isinstance(value, Substituted) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:20])
    if isinstance(value, Unknown):
        raise Unreadable
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong("not a whole number")
    if not 1 <= value <= MOST_LARGE:
        raise Wrong(f"not between 1 and {MOST_LARGE}")
    return value


def money(value: Any) -> Decimal:
    """Dollars, as a number or as a decimal text."""
    if isinstance(value, Unknown):
        raise Unreadable
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Wrong("not an amount of dollars")
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        raise Wrong("not an amount of dollars") from None
    if not amount.is_finite():
        raise Wrong("not an amount of dollars")
    return amount


def percentages(value: Any) -> list[int]:
    return [each for _, each in read_each(whole_number, enumerate(_list(value)))]


def temporary_raise(value: Any) -> dict[str, Any]:
    """`{amount: 100, until: 2026-12-24, reason: …}`; null for none."""
    if value is None:
        return {}
    readers: dict[str, Reader] = {"amount": money, "until": point_in_time, "reason": text}
    given = mapping(value)
    parts: list[tuple[Path, str]] = [((str(name),), "unknown key") for name in given if name not in readers]
    parts += [((name,), "required") for name in readers if given.get(name) is None]
    if parts:
        raise Wrong(parts=parts)
    return dict(item for name, each in given.items() for item in read_each(readers[name], [(name, each)]))


def amount(value: Any) -> Decimal:
    """A number that is not negative, exactly as it is written; a decimal text is one, too."""
    try:
        number = money(value)
    except Wrong:
        raise Wrong("not a number") from None
    if number < 0:
        raise Wrong("not a number that is zero or more")
    return number


def moment(value: Any) -> datetime:
    """A point in time that has to be one."""
    found = point_in_time(value)
    if found is None:
        raise Wrong("not a date")
    return found


def yes_or_no(value: Any) -> bool:
    if isinstance(value, Unknown):
        raise Unreadable
    if isinstance(value, Substituted) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    if not isinstance(value, bool):
        raise Wrong("neither true nor false")
    return value


def point_in_time(value: Any) -> datetime | None:
    """A date or a time; without a zone it is UTC, without a time the day's beginning. Null means never."""
    if value is None:
        return None
    if isinstance(value, Unknown):
        raise Unreadable
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise Wrong("not a date") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise Wrong("not a date")
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:
        raise Wrong("not a date") from None


def optional_text(value: Any) -> str | None:
    return None if value is None else text(value)


def address(value: Any) -> str:
    """An e-mail address; two that differ in case only are one person's."""
    return text(value).strip().lower()


def optional_address(value: Any) -> str | None:
    return None if value is None else address(value)


def texts(value: Any) -> list[str]:
    return [each for _, each in read_each(text, enumerate(_list(value)))]


def failures(value: Any) -> list[str | int]:
    """What `retry_on` holds: words and statuses. Which of them mean something is the model's to say."""
    return [each for _, each in read_each(_word_or_status, enumerate(_list(value)))]


def named_texts(value: Any) -> dict[str, str]:
    named = mapping(value)
    if any(not isinstance(name, str) for name in named):
        raise Wrong("its names must be texts; write them in quotes")
    read_each(text, ((name, name) for name in named))
    return dict(read_each(text, named.items()))


def mapping(value: Any) -> dict[Any, Any]:
    if isinstance(value, Unknown):
        raise Unreadable
    if not isinstance(value, dict):
        raise Wrong("not a mapping")
    return value


def read_each(reader: Callable[[Any], T], items: Iterable[tuple[Any, Any]]) -> list[tuple[Any, T]]:
    """Each (step, value) with its value read. Raises one `Wrong` with all that is wrong among them."""
    found: list[tuple[Any, T]] = []
    parts: list[tuple[Path, str]] = []
    unreadable = False
    for step, value in items:
        try:
            found.append((step, reader(value)))
        except Wrong as error:
            parts += [((step, *at), reason) for at, reason in error.parts]
        except Unreadable:
            unreadable = True
    if parts:
        raise Wrong(parts=parts)
    if unreadable:
        raise Unreadable
    return found


def _word_or_status(value: Any) -> str | int:
    if isinstance(value, Substituted) and value.strip().isdigit():
        return whole_number(value)
    return whole_number(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)


def _list(value: Any) -> list[Any]:
    if isinstance(value, Unknown):
        raise Unreadable
    if not isinstance(value, list):
        raise Wrong("not a list")
    return value
