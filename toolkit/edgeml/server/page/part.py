"""A part of a page: HTML rendered from a view model, which a live update changes only where it differs.

Replacing a card's HTML whole would lose focus, selection and scroll twice a second; so the browser morphs what it has.
"""

from __future__ import annotations

from nicegui.element import Element


class Part(Element, component="part.js"):
    """An element whose content is HTML of ours. What came from a device or a person was escaped by the template."""

    def __init__(self, content: str = "", *, tag: str = "div") -> None:
        super().__init__()
        self._props["tag"] = tag
        self._props["content"] = content

    def show(self, content: str) -> None:
        """Replace the content; nothing is sent where it is the same."""
        if self._props["content"] != content:
            self._props["content"] = content
            self.update()
