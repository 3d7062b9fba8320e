"""The rollouts page."""

from __future__ import annotations

import functools

from fastapi import Request
from nicegui import ui

from edgeml.server.page.part import Part
from edgeml.server.page.rendering import render
from edgeml.server.page.rollout_buttons import RolloutButtons
from edgeml.server.page.shell import open_frame
from edgeml.server.page.site import Site
from edgeml.server.page.views.pages import page_number
from edgeml.server.page.views.rollouts_page import Rollouts, read_rollouts


def add(site: Site) -> None:
    """Add the page at `/rollouts`."""

    @ui.page("/rollouts")
    async def rollouts(request: Request) -> None:
        number = page_number(request.query_params.get("page"))
        key, reader = ("rollouts", number), functools.partial(read_rollouts, number=number)
        view = await site.read(key, reader)
        frame = await open_frame(site, request, current="Rollouts", title="Rollouts")
        parts: dict[str, Part] = {}
        with frame.body:
            parts["top"] = Part()
            with ui.element("div").classes("grid"):
                with ui.element("section").classes("card w8"):
                    with ui.element("div").classes("rollout-head first") as head:
                        parts["head"] = Part()
                        buttons = RolloutButtons(site)
                    parts["current"] = Part()
                with ui.element("section").classes("card w4"):
                    parts["about"] = Part().classes("fill")
                with ui.element("section").classes("card w12"):
                    parts["history"] = Part()

        def show(view: Rollouts) -> None:
            for name, part in parts.items():
                part.show(render("rollouts", name, view))
            buttons.show(view.current)
            head.set_visibility(view.current is not None)

        async def refresh() -> None:
            show(await site.read(key, reader))

        show(view)
        await frame.keep(refresh)
