"""How reports look: the light values of the tokens, read from their one home, `look.css`."""

from __future__ import annotations

import base64
import functools
import re
from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent.parent / "server" / "page" / "static"
SANS: Final = '"Inter Variable", Roboto, system-ui, sans-serif'
MONO: Final = 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace'


@functools.cache
def tokens() -> dict[str, str]:
    """Return the light colours by name, `{"now": "#1D5FC9", ...}`."""
    first_root = re.search(r":root\s*\{(.*?)\}", (STATIC / "look.css").read_text(), re.DOTALL)
    if first_root is None:
        raise RuntimeError("look.css has no :root")
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9A-Fa-f]{6})", first_root[1]))


@functools.cache
def font() -> str:
    """Return the Inter font as base64, so that a report needs nothing from the net."""
    return base64.b64encode((STATIC / "inter.woff2").read_bytes()).decode()
