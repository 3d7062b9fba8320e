"""What runs on a device: it loads a bundle, answers, and tells the server in windows how it fares."""

from __future__ import annotations

from typing import Final

AGENT_VERSION: Final = "0.1.0"
"""Grows with edgeml; a device says it in its reports, so that the server knows which agents are old."""
