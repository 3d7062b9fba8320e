"""The devices page: search and filters that live in the address, and one page of the table."""

from __future__ import annotations

import functools

from fastapi import Request
from nicegui import events, ui

from edgeml.server.page.part import Part
from edgeml.server.page.rendering import render
from edgeml.server.page.shell import open_frame
from edgeml.server.page.site import Site
from edgeml.server.page.views.devices import Asked, Devices, read_devices, read_options


def add(site: Site) -> None:
    """Add the page at `/devices`."""

    async def read(asked: Asked) -> Devices:
        return await site.read(("devices", asked), functools.partial(read_devices, asked=asked))

    @ui.page("/devices")
    async def devices(request: Request) -> None:
        asked = Asked.of(request.query_params)
        view, options = await read(asked), await site.read("options", read_options)
        frame = await open_frame(site, request, current="Devices", title="Devices")
        with frame.body:
            top = Part()
            with ui.element("section").classes("card"):
                Part(render("devices", "filters", options, asked))
                table = Part().classes("fill")

        def show(view: Devices) -> None:
            top.show(render("devices", "top", view))
            table.show(render("devices", "table", view))

        async def change(event: events.GenericEventArguments) -> None:
            nonlocal asked
            asked = Asked.of({str(k): str(v) for k, v in dict(event.args).items()})
            show(await read(asked))

        async def refresh() -> None:
            show(await read(asked))

        ui.on("filters", change)
        show(view)
        await frame.keep(refresh)
