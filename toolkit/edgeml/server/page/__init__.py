"""The fleet page: what a person sees of the fleet, its model and what was decided, and the few deeds that need one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from edgeml.project import Project
    from edgeml.server.page.actions import Actions
    from edgeml.server.store import Store


def mount(app: FastAPI, project: Project, store: Store, actions: Actions | None = None) -> None:
    """Mount the page on `app`, below every route that `app` has by then. Once a process.

    Args:
        app: The server's application; its lifespan runs the page's, too.
        project: What the page is of.
        store: Every figure is read from it.
        actions: What a person may do from the page; without them it can only look.
    """
    from nicegui import app as pages
    from nicegui import ui

    from edgeml.report.look import STATIC, tokens
    from edgeml.server.page import alarms, benchmarks, decisions, device, devices, model, overview, rollouts
    from edgeml.server.page.actions import NoActions
    from edgeml.server.page.assets import FAVICON, HEAD
    from edgeml.server.page.site import Site
    from edgeml.server.page.views.bundles import Bundles

    site = Site(project, store, actions or NoActions(), Bundles(project.fleet_folder / "bundles"))
    pages.add_static_files("/static", STATIC, max_cache_age=3600)
    light = tokens()
    pages.colors(primary=light["now"], positive=light["ok"], warning=light["warn"], negative=light["bad"])
    ui.add_head_html(HEAD, shared=True)
    for module in (overview, devices, device, model, rollouts, decisions, alarms, benchmarks):
        module.add(site)
    # Without Tailwind: our style sheet lays the page out by itself, so the browser need not generate rules at each start.
    ui.run_with(
        app,
        title="edgeml",
        favicon=FAVICON,
        dark=None,
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=30,
    )
