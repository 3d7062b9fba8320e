"""Random chains of operators that move, join and drop axes: whatever layout a tensor has in the file, the answer stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

Shape = tuple[int, ...]
Step = Callable[[st.DrawFn, Any, str, Shape], tuple[str, Shape]]


def relu(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    return net.add("Relu", x), shape


def add_constant(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    sizes = [1 if draw(st.booleans()) else size for size in shape[1:]]
    return net.add("Add", x, net.constant(net.rng.standard_normal(sizes).astype(np.float32))), shape


def transpose(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    order = [0, *draw(st.permutations(range(1, len(shape))))]
    return net.add("Transpose", x, perm=order), tuple(shape[axis] for axis in order)


def convolution(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    if len(shape) not in (3, 4):
        return x, shape
    outputs = draw(st.integers(1, 4))
    return net.conv(x, (outputs, shape[1], *[1] * (len(shape) - 2))), (shape[0], outputs, *shape[2:])


def unsqueeze(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    if len(shape) > 3:
        return x, shape
    axis = draw(st.integers(1, len(shape)))
    return net.add("Unsqueeze", x, net.constant(np.array([axis]))), (*shape[:axis], 1, *shape[axis:])


def squeeze(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    ones = [axis for axis, size in enumerate(shape) if size == 1 and axis > 0]
    if not ones or len(shape) == 2:
        return x, shape
    axis = draw(st.sampled_from(ones))
    return net.add("Squeeze", x, net.constant(np.array([axis]))), (*shape[:axis], *shape[axis + 1 :])


def reduce_mean(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    axis, keeps = draw(st.integers(1, len(shape) - 1)), draw(st.integers(0, 1))
    kept = (1,) if keeps or len(shape) == 2 else ()
    made = net.add("ReduceMean", x, axes=[axis], keepdims=len(kept))
    return made, (*shape[:axis], *kept, *shape[axis + 1 :])


def softmax(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    return net.add("Softmax", x, axis=draw(st.integers(1, len(shape) - 1))), shape


def merge(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    if len(shape) < 3:
        return x, shape
    axis = draw(st.integers(1, len(shape) - 2))
    made = (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])
    return net.add("Reshape", x, net.constant(np.array([0, *made[1:]]))), made


def join(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    axis = draw(st.integers(1, len(shape) - 1))
    other = net.add("Tanh", x)
    return net.add("Concat", x, other, axis=axis), (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])


def add_turned(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    """Add the value to itself with two axes swapped there and back, so that both sides have layouts of their own."""
    order = [0, *draw(st.permutations(range(1, len(shape))))]
    turned = net.add("Sigmoid", net.add("Transpose", x, perm=order))
    back = net.add("Transpose", turned, perm=[order.index(axis) for axis in range(len(order))])
    return net.add("Add", x, back), shape


def dense(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    outputs = draw(st.integers(1, 4))
    return net.add("MatMul", x, net.weight(shape[-1], outputs)), (*shape[:-1], outputs)


def flatten_dense(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    size = int(np.prod(shape[1:]))
    return net.add("Gemm", net.add("Flatten", x), net.weight(size, 5)), (shape[0], 5)


def cut(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    axis = draw(st.integers(1, len(shape) - 1))
    first = draw(st.integers(0, shape[axis] - 1))
    last = draw(st.integers(first + 1, shape[axis]))
    bounds = [net.constant(np.array([n])) for n in (first, last, axis)]
    return net.add("Slice", x, *bounds), (*shape[:axis], last - first, *shape[axis + 1 :])


def pick(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    axis = draw(st.integers(1, len(shape) - 1))
    indexes = draw(st.lists(st.integers(-shape[axis], shape[axis] - 1), min_size=1, max_size=3))
    if draw(st.booleans()) and len(shape) > 2:
        return net.add("Gather", x, net.constant(np.array(indexes[0])), axis=axis), (*shape[:axis], *shape[axis + 1 :])
    return net.add("Gather", x, net.constant(np.array(indexes)), axis=axis), (
        *shape[:axis],
        len(indexes),
        *shape[axis + 1 :],
    )


def repeat(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    counts = [1, *(draw(st.integers(1, 2)) for _ in shape[1:])]
    if np.prod(shape) * np.prod(counts) > 400:
        return x, shape
    return net.add("Tile", x, net.constant(np.array(counts))), tuple(s * n for s, n in zip(shape, counts, strict=True))


def divide(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    """Split an axis in two by a Reshape."""
    axes = [axis for axis, size in enumerate(shape) if axis > 0 and size % 2 == 0]
    if not axes or len(shape) > 3:
        return x, shape
    axis = draw(st.sampled_from(axes))
    made = (*shape[:axis], 2, shape[axis] // 2, *shape[axis + 1 :])
    return net.add("Reshape", x, net.constant(np.array([-1, *made[1:]]))), made


def fold_into_batch(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    """Merge the first axis with the batch and take it apart again, as attention does with its heads."""
    if len(shape) < 3:
        return x, shape
    y = net.add("Reshape", x, net.constant(np.array([-1, *shape[2:]])))
    return net.add("Reshape", net.add("Sigmoid", y), net.constant(np.array([-1, *shape[1:]]))), shape


def choose(draw: st.DrawFn, net: Any, x: str, shape: Shape) -> tuple[str, Shape]:
    sizes = [1 if draw(st.booleans()) else size for size in shape[1:]]
    limit = net.constant(net.rng.standard_normal(sizes).astype(np.float32))
    return net.add("Where", net.add("Greater", x, limit), x, limit), shape


STEPS: Final[tuple[Step, ...]] = (
    *(relu, add_constant, transpose, transpose, convolution, convolution, unsqueeze, squeeze),
    *(reduce_mean, softmax, merge, join, add_turned, dense, flatten_dense),
    *(cut, pick, repeat, divide, divide, fold_into_batch, choose),
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.data())
def test_a_chain_is_the_same_in_float(network: Any, parity: Any, data: st.DataObject) -> None:
    net, model, batch = chain(network, data)
    x = net.samples(batch)
    wanted, found = parity.reference(model, x), parity.litert(model, x)
    for output in wanted:
        np.testing.assert_allclose(found[output], wanted[output], atol=1e-5, rtol=1e-4)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.data())
def test_a_chain_in_integers_is_near(network: Any, steps_apart: Any, data: st.DataObject) -> None:
    net, model, batch = chain(network, data)
    assert steps_apart(model, net.samples(batch)) <= 2 * len(model.graph.node) + 0.01


def chain(network: Any, data: st.DataObject) -> tuple[Any, Any, int]:
    start = data.draw(st.sampled_from([(3, 4), (2, 3, 4), (3, 4, 2), (3, 1, 4)]))
    net = network({"x": ("batch", *start)}, seed=data.draw(st.integers(0, 99)))
    x, shape = net.add("Identity", "x"), (1, *start)
    for step in data.draw(st.lists(st.sampled_from(STEPS), min_size=2, max_size=7)):
        x, shape = step(data.draw, net, x, shape)
    return net, net.finish(x), data.draw(st.integers(1, 3))
