"""Bytes and budgets as people write them."""

from __future__ import annotations

import re

MOST_BYTES = 2**64 - 1
_UNITS = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
          "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}


def parse_budget(budget: str | int | float | None, plain: int) -> int | None:
    """A budget in bytes: a number of bytes, a text like ``8GiB``, or a fraction of the step's plain peak."""
    if budget is None:
        return None
    if isinstance(budget, bool) or not isinstance(budget, (int, float, str)):
        raise TypeError("budget must be bytes (a whole number), a text like \"8GiB\", or a fraction of the plain peak like 0.8, "
                        f"not {budget!r}")
    if isinstance(budget, int):
        return _bytes(budget)
    if isinstance(budget, float):
        if not 0.0 < budget <= 1.0:
            raise ValueError(f"a fraction of the plain peak must be above 0 and at most 1, not {budget}; bytes are whole numbers")
        return int(budget * plain)
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z%]*)\s*", budget)
    number, unit = (match.group(1), match.group(2)) if match else ("", "")
    if match and unit == "%":
        return parse_budget(float(number) / 100, plain)
    if not match or unit not in _UNITS:
        hint = f" (say {unit}iB or {unit}B)" if unit in ("K", "M", "G", "T") else ""
        raise ValueError(f"cannot read the budget {budget!r}{hint}: a number and one of {', '.join(_UNITS)}, %")
    return _bytes(int(float(number) * _UNITS[unit]) if "." in number else int(number) * _UNITS[unit])


def _bytes(budget: int) -> int:
    if budget <= 0:
        raise ValueError("a budget must be more than nothing")
    if budget > MOST_BYTES:
        raise ValueError("a budget must be less than 2**64 bytes")
    return budget


def human(nbytes: int) -> str:
    """Bytes for people: 1.52 GiB."""
    value = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{nbytes} B" if unit == "B" else f"{value:.2f} {unit}"
        value /= 1024
    return f"{value:.2f} TiB"
