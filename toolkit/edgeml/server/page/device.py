"""The page of one device."""

from __future__ import annotations

import functools

from fastapi import Request
from nicegui import ui

from edgeml.server.page.device_chart import device_chart
from edgeml.server.page.live_chart import LiveChart
from edgeml.server.page.part import Part
from edgeml.server.page.rendering import render
from edgeml.server.page.shell import open_frame
from edgeml.server.page.site import Site
from edgeml.server.page.views.device import Device, NotFound, read_device
from edgeml.server.page.views.spans import SPANS, width_in_words

SIDE = ("facts", "slots", "log")


def add(site: Site) -> None:
    """Add the page at `/devices/NAME`."""

    @ui.page("/devices/{name}")
    async def device(request: Request, name: str, span: str = "") -> None:
        reader = functools.partial(read_device, name=name, span_key=span or None)
        key = ("device", name, span)
        view = await site.read(key, reader)
        frame = await open_frame(site, request, current="Devices", title=name[:63])
        if isinstance(view, NotFound):
            with frame.body:
                Part(render("device", "missing", view))
            await frame.keep_live()
            return
        parts: dict[str, Part] = {}
        with frame.body:
            parts["top"] = Part()
            with ui.element("div").classes("grid"):
                with ui.element("section").classes("card w9"):
                    with ui.element("div").classes("card-head"):
                        head = Part().classes("slot")
                        Part(render("device", "spans", view, SPANS)).classes("end")
                    chart = LiveChart(*device_chart(view.measures, view.heading))
                with ui.element("div").classes("w3 stack"):
                    for part in SIDE:
                        with ui.element("section").classes("card"):
                            parts[part] = Part()

        def show(view: Device) -> None:
            head.show(render("device", "chart_head", view, width_in_words(view.span)))
            for part, element in parts.items():
                element.show(render("device", part, view))

        async def refresh() -> None:
            view = await site.read(key, reader)
            if isinstance(view, Device):
                show(view)
                chart.show(*device_chart(view.measures, view.heading))

        show(view)
        await frame.keep(refresh)
