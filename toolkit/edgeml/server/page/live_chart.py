"""A chart that is sent anew only where its options changed."""

from __future__ import annotations

from nicegui import ui

from edgeml.server.page.charts import Options


class LiveChart:
    """An ECharts chart drawn as SVG, so that its colours follow the theme and its labels are text.

    Args:
        options: What is drawn.
        height: In px; the card keeps its size while data come.
    """

    def __init__(self, options: Options, height: int) -> None:
        self._options = options
        self._chart = ui.echart(options, renderer="svg").classes("chart").style(f"height: {height}px")
        self._height = height

    def set_visible(self, *, drawn: bool) -> None:
        """Show or hide the chart: where there is nothing to draw, words stand in its place."""
        self._chart.set_visibility(drawn)

    def show(self, options: Options, height: int) -> None:
        """Draw other options."""
        if options == self._options:
            return
        self._options = options
        if height != self._height:
            self._height = height
            self._chart.style(f"height: {height}px")
        self._chart.options.clear()
        self._chart.options.update(options)
        self._chart.update()
