"""The alarms page."""

from __future__ import annotations

import functools

from fastapi import Request
from nicegui import ui

from edgeml.server.page.part import Part
from edgeml.server.page.rendering import render
from edgeml.server.page.shell import open_frame
from edgeml.server.page.site import Site
from edgeml.server.page.views.alarms_page import Alarms, read_alarms
from edgeml.server.page.views.pages import page_number


def add(site: Site) -> None:
    """Add the page at `/alarms`, which the overview's card leads to."""

    @ui.page("/alarms")
    async def alarms(request: Request) -> None:
        number = page_number(request.query_params.get("page"))
        key, reader = ("alarms", number), functools.partial(read_alarms, number=number)
        view = await site.read(key, reader)
        frame = await open_frame(site, request, current="", title="Alarms")
        with frame.body:
            top = Part()
            with ui.element("section").classes("card"):
                entries = Part()

        def show(view: Alarms) -> None:
            top.show(render("alarms", "top", view))
            entries.show(render("alarms", "list", view))

        async def refresh() -> None:
            show(await site.read(key, reader))

        show(view)
        await frame.keep(refresh)
