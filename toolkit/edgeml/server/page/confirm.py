"""Asking before a deed: a dialog that names effect, count and time, whose buttons are verbs; focus is on the harmless one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from nicegui import ui

from edgeml.server.page.part import Part
from edgeml.server.page.rendering import render
from edgeml.server.page.site import Site
from edgeml_targets.contract.errors import EdgemlError


@dataclass(frozen=True)
class Question:
    """What is asked before a deed.

    Args:
        title: "Roll back 5 devices to r41?"
        effect: What happens and how long it takes.
        keep: The harmless verb, "Keep r42".
        do: The deed's verb, "Roll back to r41".
        danger: Whether the deed takes something away.
    """

    title: str
    effect: str
    keep: str
    do: str
    danger: bool = False


async def ask_and_do(site: Site, question: Question, deed: Callable[[], None]) -> None:
    """Ask, and do the deed in a worker thread if the answer is yes; a refusal is shown in words."""
    if not await _ask(question):
        return
    try:
        await asyncio.to_thread(deed)
    except EdgemlError as error:
        await _tell(f"{question.do} was refused", f"{error.what}. {error.mend}.")
    site.forget()


async def _ask(question: Question) -> bool:
    with ui.dialog() as dialog, ui.element("div").classes("ask").props('role="alertdialog" aria-modal="true"'):
        Part(render("parts", "question", question.title, question.effect))
        with ui.element("div").classes("actions"):
            keep = ui.button(question.keep, color=None, on_click=lambda: dialog.submit("keep"))
            keep.props("flat no-caps autofocus").classes("btn")
            do = ui.button(question.do, color=None, on_click=lambda: dialog.submit("do"))
            do.props("flat no-caps").classes("btn danger" if question.danger else "btn")
    answer = await dialog
    dialog.clear()
    dialog.delete()
    return bool(answer == "do")


async def _tell(title: str, text: str) -> None:
    with ui.dialog() as dialog, ui.element("div").classes("ask").props('role="alertdialog" aria-modal="true"'):
        Part(render("parts", "question", title, text))
        with ui.element("div").classes("actions"):
            close = ui.button("Close", color=None, on_click=lambda: dialog.submit(None))
            close.props("flat no-caps autofocus").classes("btn")
    await dialog
    dialog.delete()
