"""sympy is loaded when onnx-ir computes with symbolic sizes, and works then; never before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CARRIED = """
import sys
import edgeml_targets
import onnx_ir as ir
model = ir.load(sys.argv[1])
written = ir.to_proto(model.clone())
assert written.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
assert "sympy.core" not in sys.modules
"""
COMPUTED = """
assert str(ir.SymbolicDim("batch") * 2 + 1) == "2*batch + 1"
assert "sympy.core" in sys.modules
import sympy
assert sympy.Symbol("x") + 0 == sympy.Symbol("x")
"""
BEFORE = """
import sympy, edgeml_targets, onnx_ir
assert str(onnx_ir.SymbolicDim("batch") * 2) == "2*batch" and sympy.Max(1, 2) == 2
"""


def run(code: str, model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code, str(model)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_size_that_is_carried_along_needs_no_sympy_and_one_that_is_computed_has_it(tiny_cnn: Path) -> None:
    run(CARRIED + COMPUTED, tiny_cnn)


def test_where_sympy_is_there_already_it_stays(tiny_cnn: Path) -> None:
    run(BEFORE, tiny_cnn)
