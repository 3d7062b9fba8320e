"""Element types: what ONNX has, and what stands in the file for it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible

_FLOATS: Final = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16})
_OTHERS: Final = frozenset(
    {
        ir.DataType.BOOL,
        ir.DataType.INT8,
        ir.DataType.UINT8,
        ir.DataType.INT16,
        ir.DataType.INT32,
        ir.DataType.INT64,
    }
)


def onnx_type(number: int) -> ir.DataType | None:
    """Return ONNX's element type of a number, `None` when there is none."""
    return ir.DataType(number) if number in ir.DataType._value2member_map_ else None


def element_type(dtype: ir.DataType | None, what: str) -> np.dtype[Any]:
    """Return the type in the file: float32 for every floating point type, which LiteRT's kernels compute in.

    Raises:
        Inexpressible: The file has none; `what` says what has it: "its result".
    """
    if dtype in _FLOATS:
        return np.dtype(np.float32)
    if dtype not in _OTHERS or dtype is None:
        raise Inexpressible(f"{what} has elements of type {dtype.name if dtype else 'unknown'}")
    return np.dtype(dtype.numpy())


def elements(tensor: ir.TensorProtocol) -> npt.NDArray[Any]:
    """Return a constant's elements in the type that the file has for them.

    Raises:
        Inexpressible: The file has none.
    """
    return np.asarray(tensor.numpy()).astype(element_type(tensor.dtype, f"the constant {tensor.name!r}"), copy=False)
