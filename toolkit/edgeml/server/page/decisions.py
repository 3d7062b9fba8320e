"""The decisions page: one line each, which opens to its evidence."""

from __future__ import annotations

import functools

from fastapi import Request
from nicegui import ui

from edgeml.server.page.part import Part
from edgeml.server.page.rendering import render
from edgeml.server.page.shell import open_frame
from edgeml.server.page.site import Site
from edgeml.server.page.views.decisions_page import Decisions, read_decisions
from edgeml.server.page.views.pages import page_number


def add(site: Site) -> None:
    """Add the page at `/decisions`."""

    @ui.page("/decisions")
    async def decisions(request: Request) -> None:
        number = page_number(request.query_params.get("page"))
        key, reader = ("decisions", number), functools.partial(read_decisions, number=number)
        view = await site.read(key, reader)
        frame = await open_frame(site, request, current="Decisions", title="Decisions")
        with frame.body:
            top = Part()
            with ui.element("section").classes("card"):
                entries = Part()

        def show(view: Decisions) -> None:
            top.show(render("decisions", "top", view))
            entries.show(render("decisions", "list", view))

        async def refresh() -> None:
            show(await site.read(key, reader))

        show(view)
        await frame.keep(refresh)
