"""Figures as people read them: a unit behind a no-break space, a true minus, thousands with a comma, a dash for what was not measured."""

from __future__ import annotations

from typing import Final

DASH: Final = "—"
_SPACE: Final = "\u00a0"


def number(value: float | None, decimals: int = 0, unit: str = "") -> str:
    """Return a figure with so many decimals and its unit.

    Example:
        >>> number(-1234.5, 1, "ms").replace(chr(0xa0), " ")
        '−1,234.5 ms'
        >>> number(None)
        '—'
    """
    if value is None:
        return DASH
    written = f"{round(value, decimals) + 0.0:,.{decimals}f}".replace("-", "−")  # + 0.0: no minus before a 0
    return f"{written}{_SPACE}{unit}" if unit else written


def counted(count: int, one: str, more: str) -> str:
    """Return how many there are, in the right number.

    Example:
        >>> counted(1, "canary", "canaries"), counted(2, "canary", "canaries")
        ('1 canary', '2 canaries')
    """
    return f"{count:,} {one if count == 1 else more}"


def ending(name: str, most: int) -> str:
    """Return a name's end of at most so many characters: the names of one network's layers begin alike.

    Example:
        >>> ending("/backbone/stage3/conv/Conv", 10), ending("fc", 10)
        ('…conv/Conv', 'fc')
    """
    return name if len(name) <= most else f"…{name[1 - most :]}"


def percent(share: float | None, decimals: int = 1) -> str:
    """Return a share of 1 as percent.

    Example:
        >>> percent(0.976).replace(chr(0xa0), " ")
        '97.6 %'
    """
    return DASH if share is None else number(100 * share, decimals, "%")


def signed(value: float | None, decimals: int = 1, unit: str = "") -> str:
    """Return a difference with its sign.

    Example:
        >>> signed(6.3)
        '+6.3'
    """
    if value is None:
        return DASH
    return ("+" if round(value, decimals) > 0 else "") + number(value, decimals, unit)


def kilobytes(size_bytes: float | None) -> str:
    """Return a size in kB, or MB from 1,000 kB (SI, as disks count)."""
    if size_bytes is None:
        return DASH
    return number(size_bytes / 1e6, 1, "MB") if size_bytes >= 1e6 else number(size_bytes / 1e3, 0, "kB")


def milliseconds(latency_us: float | None) -> str:
    """Return a latency given in microseconds: in us below 1,000, else in ms."""
    if latency_us is None:
        return DASH
    return number(latency_us, 0, "us") if latency_us < 1000 else number(latency_us / 1000, 2, "ms")
