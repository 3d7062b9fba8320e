"""What a target is, how its runtimes load a model, and how exporters write one."""

from edgeml_targets import lazy_sympy

lazy_sympy.install()  # here, since every room imports this one before or beside onnx-ir
