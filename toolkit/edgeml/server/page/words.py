"""Times, spans and counts as people read them. Figures with units are in `edgeml.figures`. All times are UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Final

from edgeml.figures import DASH, number

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0
_SPELLED: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def clock(at: float | None, now: float) -> str:
    """Return a time of day, with its date where that is not today's.

    Example:
        >>> clock(0.0, 3600.0)
        '00:00'
    """
    if at is None:
        return DASH
    when, today = _utc(at), _utc(now)
    return f"{when:%H:%M}" if when.date() == today.date() else f"{when.day} {when:%b %H:%M}"


def clock_s(at: float, now: float) -> str:
    """Return a time of day to the second, with its date where that is not today's."""
    when, today = _utc(at), _utc(now)
    return f"{when:%H:%M:%S}" if when.date() == today.date() else f"{when.day} {when:%b %H:%M}"


def duration(seconds: float) -> str:
    """Return a span in its two largest units at most.

    Example:
        >>> duration(3 * DAY_S + 8 * HOUR_S).replace(chr(0xa0), " ")
        '3 d 8 h'
    """
    seconds = max(seconds, 0.0)
    if seconds < 99.5:
        return number(seconds, 0, "s")
    if seconds < HOUR_S * 1.5:
        return number(seconds / MINUTE_S, 0, "min")
    if seconds < DAY_S:
        hours, minutes = divmod(round(seconds / MINUTE_S), 60)
        return number(hours, 0, "h") + (f" {number(minutes, 0, 'min')}" if minutes and hours < 6 else "")
    days, hours = divmod(round(seconds / HOUR_S), 24)
    return number(days, 0, "d") + (f" {number(hours, 0, 'h')}" if hours and days < 7 else "")


def ago(at: float | None, now: float) -> str:
    """Return how long ago something was: "2 s ago"; a dash where it never was."""
    return DASH if at is None else f"{duration(now - at)} ago"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun.

    Example:
        >>> counted(1, "device"), counted(5, "device")
        ('1 device', '5 devices')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def spelled(count: int) -> str:
    """Return a count below ten as a word, else in figures."""
    return _SPELLED[count] if 0 <= count < len(_SPELLED) else f"{count:,}"


def joined(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def capital(text: str) -> str:
    """Return `text` with its first letter as a capital, unless it begins with a name: "r42", "line-b-07".

    Example:
        >>> capital("contrast: PSI 0.34"), capital("r42 on 5 devices")
        ('Contrast: PSI 0.34', 'r42 on 5 devices')
    """
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    return text if any(c.isdigit() for c in first) else text[:1].upper() + text[1:]


def full_stop(text: str) -> str:
    """Return `text` as a sentence that ends in a full stop; empty stays empty."""
    text = text.strip()
    return text if not text or text[-1] in ".!?" else f"{text}."


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, timezone.utc)
