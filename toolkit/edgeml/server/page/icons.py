"""Icons as inline SVG: a shape a status, so that nothing is told by colour alone, and the few that buttons need."""

from __future__ import annotations

from typing import Final, Literal

from markupsafe import Markup, escape

Status = Literal["ok", "warn", "bad", "run", "silent", "never", "wait", "unsure", "info", "kept"]

_SHAPES: Final[dict[str, str]] = {
    "ok": '<circle class="fill" cx="12" cy="12" r="11"/><path class="mark" d="M7 12.4l3.4 3.4L17 9"/>',
    "warn": '<path class="fill" d="M10.3 2.9a2 2 0 0 1 3.4 0l9 15.6a2 2 0 0 1-1.7 3H3a2 2 0 0 1-1.7-3z"/>'
    '<path class="mark" d="M12 8.6v5.2"/><circle class="dot" cx="12" cy="17.4" r="1.5"/>',
    "bad": '<path class="fill" d="M7.6 1.4h8.8l6.2 6.2v8.8l-6.2 6.2H7.6l-6.2-6.2V7.6z"/><path class="mark" d="M8.5 8.5l7 7m0-7l-7 7"/>',
    "run": '<circle class="soft" cx="12" cy="12" r="9.3"/><path class="arc" d="M12 2.7a9.3 9.3 0 0 1 5.5 16.8"/>',
    "silent": '<circle class="ring" cx="12" cy="12" r="9.5"/><path class="ring" d="M5.5 18.5l13-13"/>',
    "never": '<circle class="ring" cx="12" cy="12" r="9.5" stroke-dasharray="3 3.6"/>',
    "wait": '<circle class="ring" cx="12" cy="12" r="9.5"/><path class="ring" d="M12 6.5V12l3.6 2.4"/>',
    "unsure": '<circle class="ring" cx="12" cy="12" r="9.5" stroke-dasharray="3 3.6"/>'
    '<path class="ring" d="M9.3 9.4a2.8 2.8 0 1 1 3.7 2.7c-.7.3-1 .8-1 1.7"/><circle class="fill" cx="12" cy="16.8" r="1.2"/>',
    "info": '<circle class="ring" cx="12" cy="12" r="9.5"/><path class="ring" d="M12 11v5.5"/><circle class="fill" cx="12" cy="7.6" r="1.3"/>',
    "kept": '<circle class="ring" cx="12" cy="12" r="9.5"/><path class="ring" d="M8 12h8"/>',
    "logo": '<rect class="fill" x="1" y="1" width="22" height="22" rx="5.5"/><path class="mark" d="M5.5 16.5l4-5 3.5 3 5.2-7"/>'
    '<circle class="dot" cx="18.2" cy="7.5" r="1.9"/>',
    "pause": '<path class="fill" d="M7 5h3.4v14H7zM13.6 5H17v14h-3.4z"/>',
    "play": '<path class="fill" d="M7 4.5l12 7.5-12 7.5z"/>',
    "undo": '<path class="ring" d="M8.5 5L4 9.5 8.5 14"/><path class="ring" d="M4.5 9.5h10a5 5 0 0 1 0 10H12"/>',
    "again": '<path class="ring" d="M19.5 12A7.5 7.5 0 1 1 17 6.4L19.5 9"/><path class="ring" d="M19.7 4.2V9H15"/>',
    "moon": '<path class="fill" d="M20.5 14.6A8.8 8.8 0 0 1 9.4 3.5a8.8 8.8 0 1 0 11.1 11.1z"/>',
    "sun": '<circle class="fill" cx="12" cy="12" r="4.4"/><path class="ring" d="M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4"/>',
    "menu": '<path class="ring" d="M4 7h16M4 12h16M4 17h16"/>',
    "turn": '<path class="ring" d="M9 6l6 6-6 6"/>',
}
_SQUARES: Final[dict[str, str]] = {
    "healthy": '<rect class="healthy" width="16" height="16" rx="3"/>',
    "degraded": '<rect class="degraded" width="16" height="16" rx="3"/><path class="bang" d="M8 4v4.2M8 11.8v.1"/>',
    "silent": '<rect class="silent" x=".75" y=".75" width="14.5" height="14.5" rx="2.5"/><path class="silent" d="M3.5 12.5l9-9"/>',
    "never_seen": '<rect class="never_seen" x=".75" y=".75" width="14.5" height="14.5" rx="2.5" stroke-dasharray="2.4 2.2"/>',
}


def icon(name: str, size: int = 16, *, word: str = "") -> Markup:
    """Return an icon as inline SVG; without a `word` it stands beside its own word and is hidden from readers.

    Raises:
        KeyError: There is none of that name.
    """
    told = f'role="img" aria-label="{escape(word)}"' if word else 'aria-hidden="true"'
    return Markup(
        f'<svg class="icon {name}" viewBox="0 0 24 24" width="{size}" height="{size}" {told}>{_SHAPES[name]}</svg>'
    )


def square(state: str) -> Markup:
    """Return one device as a square of 16 px: `healthy`, `degraded`, `silent` or `never_seen`."""
    return Markup(f'<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">{_SQUARES[state]}</svg>')
