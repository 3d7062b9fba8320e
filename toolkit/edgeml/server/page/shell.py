"""The frame of every page: top bar, banners, theme, the live state, and the loop that keeps a page up to date."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from fastapi import Request
from nicegui import ui

from edgeml.server.page.part import Part
from edgeml.server.page.rendering import render
from edgeml.server.page.site import REFRESH_S, Site
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.words import ago, clock_s
from edgeml.server.tables import DEVICES

PAGES: Final = (
    ("Overview", "/"),
    ("Devices", "/devices"),
    ("Model", "/model"),
    ("Rollouts", "/rollouts"),
    ("Decisions", "/decisions"),
    ("Benchmarks", "/benchmarks"),
)
THEME: Final = "edgeml_theme"


@dataclass
class Frame:
    """A page under construction: build into `body`, then `keep` it up to date."""

    site: Site
    body: ui.element
    live: Part
    trouble: Part
    shown_at: float

    async def keep_live(self) -> None:
        """Keep only the frame up to date: the page itself has nothing that changes."""

        async def nothing() -> None:
            return

        await self.keep(nothing)

    async def keep(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Call `refresh` every two seconds, and say so when the store does not answer."""

        async def tick() -> None:
            try:
                await refresh()
                self.live.show(await _live(self.site))
                self.shown_at = time.time()
                self.trouble.show("")
            except sa.exc.SQLAlchemyError as error:
                what = str(getattr(error, "orig", None) or error).splitlines()[0]
                self.trouble.show(render("shell", "trouble", what, clock_s(self.shown_at, time.time())))

        ui.timer(REFRESH_S, tick)


async def open_frame(site: Site, request: Request, *, current: str, title: str) -> Frame:
    """Put up the frame of a page.

    Args:
        site: The page's surroundings.
        request: Its cookie tells the theme that was chosen in this browser.
        current: The link of the top bar that is lit.
        title: The window's title.
    """
    ui.page_title(f"{title} · {site.project.name} · edgeml")
    ui.dark_mode({"dark": True, "light": False}.get(request.cookies.get(THEME, "")))
    with ui.element("header").classes("bar"):
        bar = ui.element("div").classes("bar-in")
        with bar:
            Part(render("shell", "brand", site.project.name))
            Part(render("shell", "links", PAGES, current), tag="nav").classes("nav").props('aria-label="Pages"')
            live = Part(await _live(site)).classes("live-slot")
            Part(render("shell", "switches", PAGES, current)).classes("switches")
    body = ui.element("main").classes("page")
    with body:
        Part(render("shell", "offline")).classes("slot")
        trouble = Part("").classes("slot")
    return Frame(site, body, live, trouble, time.time())


async def _live(site: Site) -> str:
    now = time.time()
    last = await site.read("live", _last_seen)
    words = "Live, last window " if last is not None else "Live, "
    return render("shell", "live", words, ago(last, now) if last is not None else "no window yet", last is None)


def _last_seen(connection: sa.Connection, scene: Scene) -> float | None:
    del scene
    seen: float | None = connection.scalar(sa.select(sa.func.max(DEVICES.c.last_seen)))
    return seen
