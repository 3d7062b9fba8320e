"""The picture of all comparisons: a panel a runtime, a dot a comparison, what ours loses apart."""

from __future__ import annotations

from edgeml_bench.statistics import Estimate
from peers.comparing import Row
from peers.listing import Quantizer
from peers.picture import MOST_POINTS, chart
from peers.verdicts import Difference

PEER = Quantizer("peer", "Peer", "", "litert", ".tflite", "peer()")


def row(ratio: float, points: float) -> Row:
    return Row(
        network="net",
        runtime="litert",
        quantizer=PEER,
        ratio=Estimate(ratio, ratio, ratio),
        gain=Difference(points=points, low=points, high=points, p=1.0),
    )


def test_each_comparison_is_a_dot_and_losses_stand_apart() -> None:
    drawn = chart([row(0.5, 1.0), row(0.6, 30.0), row(1.5, 0.0)])
    dots = {trace.marker.symbol: list(zip(trace.x, trace.y, strict=True)) for trace in drawn.data if trace.x}

    assert dots == {"circle": [(0.5, 1.0), (0.6, MOST_POINTS)], "triangle-up": [(1.5, 0.0)]}


def test_what_lies_beyond_the_axis_has_its_figure() -> None:
    assert ["+30"] in [list(trace.text) for trace in chart([row(0.6, 30.0)]).data]
