"""Patterns of model names, the same rule wherever one is written. No I/O."""

from functools import lru_cache

_REMEMBERED = 8192  # pairs; clients choose names, so the number is bounded


@lru_cache(maxsize=_REMEMBERED)
def matches(pattern: str, name: str) -> bool:
    """Whether `name` fits `pattern`, in which `*` stands for any run of characters, none included."""
    parts = pattern.split("*")
    if len(parts) == 1:
        return pattern == name
    if not name.startswith(parts[0]) or not name.endswith(parts[-1]) or len(name) < len(parts[0]) + len(parts[-1]):
        return False
    position, end = len(parts[0]), len(name) - len(parts[-1])
    for part in parts[1:-1]:
        found = name.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True
