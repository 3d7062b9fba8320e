"""Prepare a graph for quantization: simpler, with the same answers.

Steps, in this order, each needing the one before:
1. Functions are unfolded, Constant nodes become initializers, initializers that are also inputs become constants, and
   every name stands for one thing.
2. Constants leave the bodies of If and Loop, and equal ones become one; types and shapes are inferred.
3. What depends on constants alone is computed, and the branches of conditions that are known then take their If's place.
4. Operators are raised to `LEAST_OPSET`.
5. What folding made twice becomes one, identities and dropouts go, types and shapes are inferred again.
6. Initial states of zeros go, batch normalizations, scales and shifts are folded, biases joined with their products.
7. What several operators write out becomes the one that it is.
8. What nobody reads is removed, at first and after each rewrite that found something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from edgeml_compress.graph.layers import WEIGHTS, is_constant, weights
from edgeml_compress.graph.naming import graphs, name_uniquely
from edgeml_compress.graph.removing import remove_unused
from edgeml_compress.rewrites.drop_identities import drop_identities
from edgeml_compress.rewrites.drop_zero_states import drop_zero_states
from edgeml_compress.rewrites.fold_batch_norm import fold_batch_norm
from edgeml_compress.rewrites.fold_constants import fold_constants
from edgeml_compress.rewrites.fold_scale_and_shift import fold_scale_and_shift
from edgeml_compress.rewrites.fuse_hard_sigmoid import fuse_hard_sigmoid
from edgeml_compress.rewrites.fuse_hard_swish import fuse_hard_swish
from edgeml_compress.rewrites.join_matmul_and_bias import join_matmul_and_bias
from edgeml_compress.rewrites.share_constants import share_constants
from edgeml_compress.rewrites.take_known_branches import take_known_branches
from edgeml_compress.rewrites.unflatten_softmax import unflatten_softmax
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.models import raise_opset

Rewrite = Callable[[ir.Model], int]
LEAST_OPSET: Final = 14  # HardSwish; 13 has axes as inputs, and channel axes of DequantizeLinear
KNOWING: Final[tuple[Rewrite, ...]] = (fold_constants, take_known_branches)
TIDYING: Final[tuple[Rewrite, ...]] = (share_constants, drop_identities)
SIMPLIFYING: Final[tuple[Rewrite, ...]] = (
    drop_zero_states,
    unflatten_softmax,
    fold_batch_norm,
    fold_scale_and_shift,
    join_matmul_and_bias,
    fuse_hard_sigmoid,
    fuse_hard_swish,
)
QUANTIZED: Final = frozenset(
    "QuantizeLinear DequantizeLinear DynamicQuantizeLinear ConvInteger MatMulInteger DynamicQuantizeLSTM MatMulNBits "
    "DynamicQuantizeMatMul MatMulIntegerToFloat QAttention QGemm GatherBlockQuantized".split()
)
"""Operators of quantized models, ONNX's own and ONNX Runtime's; those that begin with QLinear are, too."""
OTHER_FLOATS: Final = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE})
SEQUENCES: Final = frozenset(
    "SequenceConstruct SequenceInsert SequenceErase SequenceEmpty SplitToSequence SequenceMap".split()
)
LEAST_STORED: Final = 256  # integers that a Cast turns into floats: as many are weights that were stored smaller


@dataclass(frozen=True)
class Prepared:
    """A graph that is ready to be quantized.

    Args:
        model: The graph, its values named and typed where that could be inferred.
        changes: How often each rewrite found something to do, by its name.
    """

    model: ir.Model
    changes: dict[str, int]


def prepare(model: ir.Model, *, where: str) -> Prepared:
    """Return a simpler graph with the same inputs, outputs and answers; `model` itself is not changed.

    Args:
        model: A float graph as it was read.
        where: Its file, for errors.

    Raises:
        EdgemlError: It is quantized already, its weights are all half or double, or one is not finite.
    """
    ready = lift(model, where=where)
    changes = dict.fromkeys((rewrite.__name__ for rewrite in (*KNOWING, *TIDYING, *SIMPLIFYING)), 0)
    remove_unused(ready)
    _know_more(ready, changes)
    if ready.opset_imports.get("", 0) < LEAST_OPSET:
        ready = _raised(ready)
        _know_more(ready, changes)  # the converter writes what it can as functions of constants
    if sum(_run(rewrite, ready, changes) for rewrite in TIDYING):
        _infer(ready)
    for rewrite in SIMPLIFYING:
        _run(rewrite, ready, changes)
    return Prepared(ready, changes)


def _know_more(model: ir.Model, changes: dict[str, int]) -> None:
    """Run the rewrites of `KNOWING` until they find nothing: a branch that takes its If's place may have more that is known."""
    found = 0
    while more := sum(_run(rewrite, model, changes) for rewrite in KNOWING):
        found += more
    if found:
        _infer(model)


def lift(model: ir.Model, *, where: str) -> ir.Model:
    """Return the least that quantization needs: steps 1 and 2. `model` itself is not changed.

    Raises:
        EdgemlError: It is quantized already, its weights are all half or double, or one is not finite.
    """
    _refuse_quantized(model, where)
    ready = model.clone()
    common.InlinePass()(ready)
    common.RemoveInitializersFromInputsPass()(ready)
    _lift_constants(ready)
    common.ClearMetadataAndDocStringPass()(ready)
    _infer(ready)
    _refuse_other_floats(ready, where)
    _refuse_broken_weights(ready, where)
    return ready


def _lift_constants(model: ir.Model) -> None:
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    name_uniquely(model)
    share_constants(model)


def _raised(model: ir.Model) -> ir.Model:
    """Return a model with its operators at `LEAST_OPSET` or later; unchanged where ONNX cannot bring one of them there.

    An exporter that needs a later version than it has then says which operator it was.
    """
    known = {value.name for graph in graphs(model) for node in graph for value in node.outputs}
    try:
        raised = raise_opset(model, LEAST_OPSET)
    except EdgemlError:
        return model
    for value in (value for graph in graphs(raised) for node in graph for value in node.outputs):
        if value.name not in known and not value.is_graph_output():
            value.type, value.shape = None, None  # the converter's own guess, a scalar
    _lift_constants(raised)
    _infer(raised)
    return raised


def _infer(model: ir.Model) -> None:
    common.ShapeInferencePass(check_type=False, strict_mode=False)(model)
    for value in (value for graph in graphs(model) for node in graph for value in node.outputs):
        maker = value.producer()
        if maker is not None and maker.op_type in SEQUENCES and isinstance(value.type, ir.TensorType):
            value.type, value.shape = None, None  # the pass takes the type of a sequence's elements for its own


def _run(rewrite: Rewrite, model: ir.Model, changes: dict[str, int]) -> int:
    found = rewrite(model)
    changes[rewrite.__name__] += found
    if found:
        remove_unused(model)
    return found


def _refuse_quantized(model: ir.Model, where: str) -> None:
    nodes = (node for graph in _everywhere(model) for node in graph)
    found = next((n for n in nodes if n.op_type in QUANTIZED or n.op_type.startswith("QLinear") or _expands(n)), None)
    if found is not None:
        raise EdgemlError(
            f"it is quantized already ({found.op_type} {found.name})", where=where, mend="give the float model"
        )


def _expands(node: ir.Node) -> bool:
    """Tell whether a node turns stored small integers into floats, as our own weight-only artifacts do."""
    stored = node.inputs[0] if node.op_type == "Cast" and node.inputs else None
    if stored is None or stored.const_value is None or stored.const_value.size < LEAST_STORED:
        return False
    kind, wanted = stored.const_value.dtype, ir.DataType(node.attributes.get_int("to", int(ir.DataType.FLOAT)))
    return kind.is_integer() and kind.bitwidth <= 8 and wanted.is_floating_point()


def _everywhere(model: ir.Model) -> list[ir.Graph | ir.Function]:
    functions = list(model.functions.values())
    return [*graphs(model), *functions, *(graph for function in functions for graph in function.subgraphs())]


def _refuse_other_floats(model: ir.Model, where: str) -> None:
    """Refuse a model whose every weight is multiplied with as another float than float32.

    Those that a Cast widens first are fine, and beside float32 ones the others are told of, not refused.
    """
    if weights(model):
        return
    for node in (node for graph in graphs(model) for node in graph if node.domain == ""):
        for index in WEIGHTS.get(node.op_type, ((),))[0]:
            weight = node.inputs[index] if index < len(node.inputs) else None
            if weight is not None and is_constant(weight) and weight.dtype in OTHER_FLOATS:
                what = f"weight {weight.name} is {weight.dtype.name.lower()}, {node.op_type} computes with it as it is"
                raise EdgemlError(what, where=where, mend="give the float32 model")


def _refuse_broken_weights(model: ir.Model, where: str) -> None:
    layers = weights(model)
    for graph in graphs(model):
        for name, value in graph.initializers.items():
            if value.const_value is None or value.dtype is None or not value.dtype.is_floating_point():
                continue
            array = value.const_value.numpy()  # a bound or a mask may be infinite, a weight may not
            if np.isnan(array).any() or (name in layers and not np.isfinite(array).all()):
                what = f"weight {name} holds a value that is not finite"
                raise EdgemlError(what, where=where, mend="train it again")
