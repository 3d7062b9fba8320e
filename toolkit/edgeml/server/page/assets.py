"""What every page loads: our style sheet, script and font, from this server and nowhere else."""

from __future__ import annotations

import hashlib
from typing import Final

from edgeml.report.look import STATIC, tokens

_VERSION: Final = hashlib.sha256(
    b"".join((STATIC / name).read_bytes() for name in ("look.css", "page.js"))
).hexdigest()[:8]
HEAD: Final = f"""
<link rel="preload" href="/static/inter.woff2" as="font" type="font/woff2" crossorigin>
<link rel="stylesheet" href="/static/look.css?{_VERSION}">
<script defer src="/static/page.js?{_VERSION}"></script>
"""
FAVICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    f'<rect x="1" y="1" width="22" height="22" rx="5.5" fill="{tokens()["now"]}"/>'
    f'<g fill="none" stroke="{tokens()["surface"]}" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round">'
    '<path d="M5.5 16.5l4-5 3.5 3 5.2-7"/></g></svg>'
)
