"""The overview page."""

from __future__ import annotations

import functools

from fastapi import Request
from nicegui import ui

from edgeml.server.page.part import Part
from edgeml.server.page.rendering import render
from edgeml.server.page.rollout_buttons import RolloutButtons
from edgeml.server.page.shell import open_frame
from edgeml.server.page.site import Site
from edgeml.server.page.views.overview import Overview, read_overview

CARDS = (("decided", "w8 order-2"), ("alarms", "w4 order-1"), ("devices", "w8 order-4"), ("trends", "w4 order-3"))


def add(site: Site) -> None:
    """Add the page at `/`."""
    reader = functools.partial(read_overview, timeline=site.timeline)

    @ui.page("/")
    async def overview(request: Request) -> None:
        view = await site.read("overview", reader)
        frame = await open_frame(site, request, current="Overview", title="Overview")
        parts: dict[str, Part] = {}
        with frame.body:
            parts["top"] = Part()
            with ui.element("div").classes("grid"):
                for name, width in CARDS:
                    with ui.element("section").classes(f"card {width}"):
                        parts[name] = Part().classes("fill")
                        if name == "decided":
                            with ui.element("div").classes("rollout-head") as head:
                                parts["rollout_head"] = Part()
                                buttons = RolloutButtons(site)
                            parts["rollout"] = Part()

        def show(view: Overview) -> None:
            for name, part in parts.items():
                part.show(render("overview", name, view))
            buttons.show(view.rollout if view.rollout is not None and view.rollout.running else None)
            head.set_visibility(view.rollout is not None)

        async def refresh() -> None:
            show(await site.read("overview", reader))

        show(view)
        await frame.keep(refresh)
