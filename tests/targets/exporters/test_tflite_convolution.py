"""Convolutions and pooling over random geometries answer as ONNX Runtime does, in float and in integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

few = settings(max_examples=60, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Geometry:
    """A window over one or two axes, and what it slides over."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    groups: int
    inputs: int
    outputs: int
    batch: int


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    rank = draw(st.sampled_from([1, 2]))
    axes = lambda low, high: st.tuples(*[st.integers(low, high)] * rank)  # noqa: E731
    size, kernel, strides, dilations = draw(axes(5, 11)), draw(axes(1, 4)), draw(axes(1, 3)), draw(axes(1, 2))
    pads = draw(axes(0, 2)) + draw(axes(0, 2))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    assume(all(span <= size[i] + pads[i] + pads[rank + i] for i, span in enumerate(spans)))
    groups = draw(st.sampled_from([1, 1, 2, 4]))
    inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    return Geometry(size, kernel, strides, dilations, pads, groups, inputs, outputs, draw(st.integers(1, 3)))


def convolution(network: Any, g: Geometry, *, clipped: bool) -> Any:
    net = network({"x": ("batch", g.inputs, *g.size)})
    attributes = {"strides": g.strides, "dilations": g.dilations, "pads": g.pads, "group": g.groups}
    y = net.conv("x", (g.outputs, g.inputs // g.groups, *g.kernel), **attributes)
    return net, net.finish(net.add("Relu", y) if clipped else y)


def transposed(network: Any, g: Geometry, *, clipped: bool) -> Any:
    """Return a transposed convolution that gives back a geometry's kind; its output is cut by no more than a window."""
    net = network({"x": ("batch", g.inputs, *g.size)})
    rank = len(g.size)
    spans = [(k - 1) * d + 1 for k, d in zip(g.kernel, g.dilations, strict=True)]
    pads = [min(p, (spans[i % rank] - 1) // 2) for i, p in enumerate(g.pads)]
    attributes = {"strides": g.strides, "dilations": g.dilations, "pads": pads, "group": g.groups}
    weight, bias = net.weight(g.inputs, g.outputs // g.groups, *g.kernel), net.bias(g.outputs)
    y = net.add("ConvTranspose", "x", weight, bias, **attributes)
    return net, net.finish(net.add("Relu", y) if clipped else y)


@pytest.mark.parametrize("kind", [convolution, transposed])
@few
@given(geometries(), st.booleans())
def test_a_convolution_is_the_same_in_float(
    network: Any, parity: Any, kind: Any, geometry: Geometry, clipped: bool
) -> None:
    net, model = kind(network, geometry, clipped=clipped)
    x = net.samples(geometry.batch)
    wanted, found = parity.reference(model, x), parity.litert(model, x)
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [convolution, transposed])
@few
@given(geometries(), st.booleans())
def test_a_convolution_in_integers_is_within_one_step(
    network: Any, steps_apart: Any, kind: Any, geometry: Geometry, clipped: bool
) -> None:
    net, model = kind(network, geometry, clipped=clipped)
    assert steps_apart(model, net.samples(geometry.batch)) <= 1.01


@st.composite
def poolings(draw: st.DrawFn) -> tuple[str, Geometry, dict[str, Any]]:
    geometry = draw(geometries())
    rank = len(geometry.size)
    kind = draw(st.sampled_from(["MaxPool", "AveragePool"]))
    pads = tuple(min(p, geometry.kernel[i % rank] - 1) for i, p in enumerate(geometry.pads))
    attributes = {"kernel_shape": geometry.kernel, "strides": geometry.strides, "pads": pads}
    attributes["ceil_mode"] = draw(st.integers(0, 1))
    if kind == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    return kind, geometry, attributes


@few
@given(poolings())
def test_pooling_is_the_same_in_float(network: Any, parity: Any, pooling: Any) -> None:
    kind, geometry, attributes = pooling
    net = network({"x": ("batch", geometry.inputs, *geometry.size)}, opset=19)
    model = net.finish(net.add(kind, "x", **attributes))
    x = net.samples(geometry.batch)
    wanted, found = parity.reference(model, x), parity.litert(model, x)
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-5, rtol=1e-5)


@few
@given(poolings())
def test_pooling_in_integers_is_within_one_step(network: Any, steps_apart: Any, pooling: Any) -> None:
    kind, geometry, attributes = pooling
    net = network({"x": ("batch", geometry.inputs, *geometry.size)}, opset=19)
    assert steps_apart(net.finish(net.add(kind, "x", **attributes)), net.samples(geometry.batch)) <= 1.01


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_by_name(network: Any, parity: Any, auto_pad: str, stride: int) -> None:
    net = network({"x": ("batch", 3, 12, 9)})
    attributes: dict[str, Any] = {"auto_pad": auto_pad, "strides": [stride, stride]}
    model = net.finish(net.add("MaxPool", net.conv("x", (4, 3, 4, 3), **attributes), kernel_shape=[3, 3], **attributes))
    x = net.samples()
    wanted, found = parity.reference(model, x), parity.litert(model, x)
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-5, rtol=1e-5)
