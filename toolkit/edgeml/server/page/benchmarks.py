"""The benchmarks page, and the compression reports that it links to."""

from __future__ import annotations

import asyncio

from fastapi import Request
from fastapi.responses import FileResponse, PlainTextResponse, Response
from nicegui import app, ui

from edgeml.server.page.part import Part
from edgeml.server.page.rendering import render
from edgeml.server.page.shell import open_frame
from edgeml.server.page.site import Site
from edgeml.server.page.views.benchmarks import REPORT, Benchmarks, read_benchmarks, read_compression


def add(site: Site) -> None:
    """Add the page at `/benchmarks` and the reports at `/reports/MODEL`."""

    @ui.page("/benchmarks")
    async def benchmarks(request: Request) -> None:
        view = await site.read("benchmarks", read_benchmarks)
        frame = await open_frame(site, request, current="Benchmarks", title="Benchmarks")
        with frame.body:
            top = Part()
            with ui.element("section").classes("card"):
                table = Part()

        def show(view: Benchmarks) -> None:
            top.show(render("benchmarks", "top", view))
            table.show(render("benchmarks", "table", view))

        async def refresh() -> None:
            show(await site.read("benchmarks", read_benchmarks))

        show(view)
        await frame.keep(refresh)

    @app.get("/reports/{model}")
    async def report(model: str) -> Response:
        workspace = site.project.workspace
        found = await asyncio.to_thread(read_compression, workspace, model)
        file = workspace / "compressed" / model / REPORT
        if found is None or not file.is_file():
            return PlainTextResponse(f"There is no compression report of {model}.\n", 404)
        return FileResponse(file, media_type="text/html")
