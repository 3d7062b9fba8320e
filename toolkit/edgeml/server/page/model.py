"""The model page."""

from __future__ import annotations

import functools
import time

from fastapi import Request
from nicegui import ui

from edgeml.server.page.confirm import Question, ask_and_do
from edgeml.server.page.live_chart import LiveChart
from edgeml.server.page.model_charts import HEIGHT, accuracy_chart, drift_chart
from edgeml.server.page.part import Part
from edgeml.server.page.rendering import render
from edgeml.server.page.shell import open_frame
from edgeml.server.page.site import Site
from edgeml.server.page.views.model import Model, NoModel, read_model_view

WORDS = ("top", "inputs", "classes", "drift_head", "no_drift", "accuracy_head", "no_accuracy", "accuracy_note")


def add(site: Site) -> None:
    """Add the page at `/model`."""

    @ui.page("/model")
    async def model(request: Request, release: str = "") -> None:
        reader = functools.partial(read_model_view, release=release or None)
        key = ("model", release)
        view = await site.read(key, reader)
        frame = await open_frame(site, request, current="Model", title="Model")
        if isinstance(view, NoModel):
            with frame.body:
                Part(render("model", "missing", view))
            await frame.keep_live()
            return
        parts: dict[str, Part] = {}
        with frame.body:
            with ui.element("div").classes("heading-row"):
                parts["top"] = Part()
                with ui.element("div").classes("actions"):
                    again = ui.button("Retrain now", color=None, on_click=functools.partial(_ask_retrain, site))
                    again.props("flat no-caps").classes("btn")
            with ui.element("div").classes("grid"):
                parts["inputs"] = _card("w8")
                parts["classes"] = _card("w4")
                with ui.element("section").classes("card w8"):
                    parts["drift_head"], parts["no_drift"] = Part(), Part()
                    drift = LiveChart({}, HEIGHT)
                with ui.element("section").classes("card w4"):
                    parts["accuracy_head"], parts["no_accuracy"] = Part(), Part()
                    accuracy = LiveChart({}, HEIGHT - 34)
                    parts["accuracy_note"] = Part().classes("fill")

        def show(view: Model) -> None:
            for name, part in parts.items():
                part.show(render("model", name, view))
            drift.set_visible(drawn=view.drift is not None)
            accuracy.set_visible(drawn=bool(view.accuracy))
            if view.drift is not None:
                drift.show(drift_chart(view, view.drift, time.time()), HEIGHT)
            if view.accuracy:
                accuracy.show(accuracy_chart(view), HEIGHT - 34)

        async def refresh() -> None:
            view = await site.read(key, reader)
            if isinstance(view, Model):
                show(view)

        show(view)
        await frame.keep(refresh)


def _card(width: str) -> Part:
    with ui.element("section").classes(f"card {width}"):
        return Part().classes("fill")


async def _ask_retrain(site: Site) -> None:
    question = Question(
        "Retrain now?",
        "A new model is trained on all labels there are, compressed, and held against the one that runs. Devices get it"
        " only if it wins and its canary is healthy. The server is busy meanwhile; devices go on.",
        "Not now",
        "Retrain",
    )
    await ask_and_do(site, question, site.actions.retrain)
