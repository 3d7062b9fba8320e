"""GRU, LSTM and RNN layers of any kind, unrolled, answer as ONNX Runtime's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeml_targets.contract.encodings import Encodings, symmetric
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.exporters.tflite import convert

GATES: Final[Mapping[str, int]] = {"LSTM": 4, "GRU": 3, "RNN": 1}
STATES: Final[Mapping[str, int]] = {"LSTM": 2, "GRU": 1, "RNN": 1}


def recurrent(network: Any, kind: str, **given: Any) -> tuple[Any, Any]:
    """Return a network of one layer: (length, batch, features) in, the sequence and all last states out."""
    length, features, units = given.pop("length", 5), given.pop("features", 3), given.pop("units", 4)
    bias, initial = given.pop("bias", True), given.pop("initial", "none")
    directions = 2 if given.get("direction") == "bidirectional" else 1
    inputs: dict[str, Any] = {"x": (length, "batch", features)}
    if initial == "given":
        inputs |= {f"state{i}": (directions, "batch", units) for i in range(STATES[kind])}
    net = network(inputs, seed=length)
    rows = GATES[kind] * units
    weights = [net.rng.standard_normal((directions, rows, n)).astype(np.float32) * 0.5 for n in (features, units)]
    named = [net.constant(weight) for weight in weights]
    named.append(net.constant(net.rng.standard_normal((directions, 2 * rows)).astype(np.float32)) if bias else "")
    if initial != "none":
        named.append("")
        named += [
            f"state{i}" if initial == "given" else net.constant(np.full((directions, 2, units), 0.3, np.float32))
            for i in range(STATES[kind])
        ]
    if given.pop("peepholes", False):
        named += [""] * (7 - 1 - len(named))
        named.append(net.constant(net.rng.standard_normal((directions, 3 * units)).astype(np.float32)))
    outputs = net.add_many(kind, ["x", *named], STATES[kind] + 1, hidden_size=units, **given)
    return net, net.finish(*outputs)


def worst_error(parity: Any, net: Any, model: Any, batch: int = 2) -> float:
    x = net.samples(batch)
    wanted, found = parity.reference(model, x), parity.litert(model, x)
    return max(float(np.abs(found[output] - wanted[output]).max()) for output in wanted)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("initial", ["none", "constant", "given"])
@pytest.mark.parametrize("kind", GATES)
def test_a_layer_answers_as_onnx_runtime_s(network: Any, parity: Any, kind: str, initial: str, direction: str) -> None:
    assert worst_error(parity, *recurrent(network, kind, direction=direction, initial=initial)) < 1e-5


@pytest.mark.parametrize("initial", ["none", "given"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("late", [0, 1])
def test_a_gru_resets_before_or_after_its_product(
    network: Any, parity: Any, late: int, bias: bool, initial: str
) -> None:
    assert worst_error(parity, *recurrent(network, "GRU", linear_before_reset=late, bias=bias, initial=initial)) < 1e-5


@pytest.mark.parametrize("initial", ["none", "given"])
def test_an_lstm_may_look_at_its_memory(network: Any, parity: Any, initial: str) -> None:
    assert worst_error(parity, *recurrent(network, "LSTM", peepholes=True, initial=initial)) < 1e-5


@pytest.mark.parametrize("kind", GATES)
def test_other_curves_and_a_clip(network: Any, parity: Any, kind: str) -> None:
    curves = {"LSTM": ["Sigmoid", "Relu", "Tanh"], "GRU": ["Sigmoid", "Relu"], "RNN": ["Relu"]}[kind]
    assert worst_error(parity, *recurrent(network, kind, activations=curves, clip=0.7)) < 1e-5


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_any_sizes(network: Any, parity: Any, data: st.DataObject) -> None:
    draw = data.draw
    sizes = {name: draw(st.integers(1, 6)) for name in ("length", "features", "units")}
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    initial = draw(st.sampled_from(["none", "given"]))
    net, model = recurrent(network, draw(st.sampled_from(sorted(GATES))), direction=direction, initial=initial, **sizes)
    assert worst_error(parity, net, model, draw(st.integers(1, 4))) < 1e-5


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_layer_whose_batch_stands_first_needs_no_transposition(network: Any, parity: Any, kind: str) -> None:
    """As torch exports `batch_first=True`: a Transpose on either side."""
    net = network({"x": ("batch", 7, 3)})
    rows = GATES[kind] * 4
    turned = net.add("Transpose", "x", perm=[1, 0, 2])
    y, *_ = net.add_many(kind, [turned, net.weight(1, rows, 3), net.weight(1, rows, 4)], 2, hidden_size=4)
    y = net.add("Squeeze", y, net.constant(np.array([1])))
    model = net.finish(net.add("Tanh", net.add("Transpose", y, perm=[1, 0, 2])))
    assert worst_error(parity, net, model, 3) < 1e-5
    assert convert(ir.from_proto(model), Encodings()).transposes == 0


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("late", [0, 1])
def test_weights_alone_as_integers(network: Any, parity: Any, faked: Any, kind: str, late: int) -> None:
    given = {"linear_before_reset": late} if kind == "GRU" else {}
    net, model = recurrent(network, kind, direction="bidirectional", features=24, units=24, **given)
    made = {n: symmetric(np.abs(net.constants[n]).max(axis=(0, 2)), axis=1) for n in ("k0", "k1")}
    encodings = Encodings(tensors=made)
    x = net.samples(2)
    wanted, found = parity.reference(faked(model, encodings), x), parity.litert(model, x, encodings)
    for output in wanted:
        np.testing.assert_allclose(found[output], wanted[output], atol=1e-5)
    whole, small = (convert(ir.from_proto(model), e) for e in (Encodings(), encodings))
    products = {"LSTM": 2, "GRU": 2 if late else 3}[kind]
    assert small.operators["DEQUANTIZE"] == 2 * products  # once a direction, not once a step
    saved = len(whole.content) - len(small.content)
    assert saved > 2 * sum(net.constants[n].size for n in made)  # 3 a value, less scales and operators


@pytest.mark.parametrize("kind", GATES)
def test_products_find_their_scale_at_each_inference(network: Any, parity: Any, kind: str) -> None:
    """LiteRT then multiplies in integers what it is given in float; the zoo's GRU takes 0.44 of float's time so."""
    net, model = recurrent(network, kind, features=24, units=24, length=8)
    made = {n: symmetric(np.abs(net.constants[n]).max(axis=(0, 2)), axis=1) for n in ("k0", "k1")}
    encodings = Encodings(tensors=made, dynamic=frozenset({"x"}))
    x = net.samples(2)
    wanted, found = parity.reference(model, x), parity.litert(model, x, encodings)
    assert "DEQUANTIZE" not in convert(ir.from_proto(model), encodings).operators
    for output in wanted:
        flat, other = wanted[output].ravel(), found[output].ravel()
        assert flat @ other / np.linalg.norm(flat) / np.linalg.norm(other) > 0.999


def test_a_sequence_of_free_length_is_refused_by_name(network: Any) -> None:
    _, model = recurrent(network, "GRU")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "length"
    with pytest.raises(EdgemlError, match=r"node 'gru_0_0' \(GRU\).*length of its sequence is free.*"):
        convert(ir.from_proto(model), Encodings())
