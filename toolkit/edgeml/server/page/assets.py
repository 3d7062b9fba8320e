"""What every page loads: our style sheet, script and font, from this server and nowhere else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent / "static"
_VERSION: Final = hashlib.sha256(b"".join((STATIC / name).read_bytes() for name in ("look.css", "page.js"))).hexdigest()[:8]
HEAD: Final = f"""
<link rel="preload" href="/static/inter.woff2" as="font" type="font/woff2" crossorigin>
<link rel="stylesheet" href="/static/look.css?{_VERSION}">
<script defer src="/static/page.js?{_VERSION}"></script>
"""
FAVICON: Final = STATIC / "favicon.svg"
