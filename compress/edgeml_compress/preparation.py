"""Prepare a graph for quantization: simpler, with the same answers.

Steps, in this order, each needing the one before:
1. Constant nodes become initializers, initializers that are also inputs become constants.
2. What depends on constants alone is computed.
3. Identities and dropouts go.
4. Types and shapes are inferred.
5. Batch normalizations are folded, biases joined with their products.
6. What nobody reads is removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from edgeml_compress.layers import weights
from edgeml_compress.rewrites.drop_identities import drop_identities
from edgeml_compress.rewrites.fold_batch_norm import fold_batch_norm
from edgeml_compress.rewrites.fold_constants import fold_constants
from edgeml_compress.rewrites.join_matmul_and_bias import join_matmul_and_bias
from edgeml_targets.contract.errors import EdgemlError

Rewrite = Callable[[ir.Model], int]
UNTYPED: Final[tuple[Rewrite, ...]] = (fold_constants, drop_identities)
TYPED: Final[tuple[Rewrite, ...]] = (fold_batch_norm, join_matmul_and_bias)
QUANTIZED: Final = frozenset(
    "QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul ConvInteger MatMulInteger".split()
)


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
        EdgemlError: It is quantized already, or a weight is not finite.
    """
    ready = lift(model, where=where)
    changes: dict[str, int] = {}
    for rewrite in UNTYPED:
        _run(rewrite, ready, changes)
    common.ShapeInferencePass(check_type=False, strict_mode=False)(ready)
    for rewrite in TYPED:
        _run(rewrite, ready, changes)
    return Prepared(ready, changes)


def lift(model: ir.Model, *, where: str) -> ir.Model:
    """Return the least that quantization needs: steps 1 and 4, no rewrite. `model` itself is not changed.

    Raises:
        EdgemlError: It is quantized already, or a weight is not finite.
    """
    _refuse_quantized(model, where)
    ready = model.clone()
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(ready)
    common.RemoveInitializersFromInputsPass()(ready)
    common.NameFixPass()(ready)
    common.ShapeInferencePass(check_type=False, strict_mode=False)(ready)
    _refuse_broken_weights(ready, where)
    return ready


def _run(rewrite: Rewrite, model: ir.Model, changes: dict[str, int]) -> None:
    changes[rewrite.__name__] = rewrite(model)
    common.RemoveUnusedNodesPass()(model)


def _refuse_quantized(model: ir.Model, where: str) -> None:
    found = next((n for n in ir.traversal.RecursiveGraphIterator(model.graph) if n.op_type in QUANTIZED), None)
    if found is not None:
        raise EdgemlError(
            f"it is quantized already ({found.op_type} {found.name})", where=where, mend="give the float model"
        )


def _refuse_broken_weights(model: ir.Model, where: str) -> None:
    for name, weight in weights(model).items():
        if not np.isfinite(weight.values).all():
            raise EdgemlError(f"weight {name} holds a value that is not finite", where=where, mend="train it again")
